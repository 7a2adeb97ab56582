"""The thinking study of one policy: it is played at all settings, measured, logged and reported on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drc_lab.app.checked import evaluation_spec, report_spec, thinking_spec
from drc_lab.app.continuing import continuable
from drc_lab.app.start import console, say
from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.measures.all_findings import statistics_of
from drc_lab.evaluation.measures.gains import sensitivity
from drc_lab.evaluation.measures.table import Row, table
from drc_lab.evaluation.play.controls import CONTROLS
from drc_lab.evaluation.play.thinking import Setting
from drc_lab.progress import working
from drc_lab.studies.reporting import report_on
from drc_lab.studies.session import PARTS, Subject, count_levels, lab_env, measures_of, play_all
from drc_lab.studies.shift import World, other_worlds, play_elsewhere
from drc_lab.tracking.descriptions import of_setting
from drc_lab.tracking.naming import setting_names
from drc_lab.tracking.run import Run


@dataclass(frozen=True)
class Plan:
    """What a study will play. It is checked before anything is played.

    Args:
        subject: the policy.
        env: with the base held-out levels, which are reported on in full.
        settings: amounts of thinking and controls to play there.
        others: worlds to compare with the base.
    """

    subject: Subject
    env: BatchEnv
    settings: Sequence[Setting]
    others: Sequence[World]


def planned(subject: Subject) -> Plan:
    """Plans the thinking sweep that the config of a policy's evaluation describes.

    Raises:
        ConfigError: it is not possible with these settings.
    """

    def settings(env: BatchEnv) -> list[Setting]:
        return thinking_spec(subject.config).settings(subject.policy, env)

    env = lab_env(subject.config, subject.policy)
    report_spec(subject.config, count_levels(env))
    return Plan(subject, env, settings(env), other_worlds(subject, settings))


def investigate(plan: Plan, folder: Path, run: Run, so_far: str = "") -> list[Row]:
    """Plays a sweep, or the rest of an interrupted one, and writes the report; returns the rows of its table.

    Args:
        plan: what to play.
        folder: of the run.
        run: that results are logged to.
        so_far: a sentence on what the command has done before, for the message when it is stopped.

    Raises:
        Stopped: by a signal.
    """
    subject, config = plan.subject, plan.subject.config
    confidence, power = evaluation_spec(config).confidence, thinking_spec(config).power
    with continuable(folder, so_far):
        records = play_all(subject, plan.env, plan.settings, folder / PARTS)
        with working("statistics of all settings"):
            rows = table(records, confidence)
            statistics = statistics_of(records, rows, confidence, power)
        elsewhere = play_elsewhere(plan.others, rows, folder, run)
        measures = measures_of(subject, plan.env, records)
        log_settings(rows, run, subject.frames)
        findings = [*statistics, *elsewhere, *measures]
        shown = report_on("Does more thinking help?", subject, plan.env, rows, findings, records, folder, run)
    if rows[0].measure.is_rate:
        say(sensitivity(rows, confidence, power))
    tell_where([*shown, *run.shown])
    return rows


def tell_where(shown: Sequence[tuple[str, str | Path]]) -> None:
    """Prints where results are: pairs of a word and a file, an address or a command."""
    for word, value in shown:
        console.print(f"{word:11}{value}", soft_wrap=True, highlight=False)


def log_settings(rows: list[Row], run: Run, frames: int) -> None:
    """Logs a nested run for each setting, and in ``run`` a curve over amounts of thinking."""
    rows = [row for row in rows if row.optimal == "all"]
    names = setting_names([(row.kind, math.nan if row.kind in CONTROLS else row.amount) for row in rows])
    for row, name in zip(rows, names, strict=True):
        measure = row.measure.metric
        metrics = {measure: row.value, f"{measure}_low": row.low, f"{measure}_high": row.high,
                   "length": row.mean_length, "return": row.mean_return, "ticks": row.mean_ticks,
                   "gain": row.difference, "gain_low": row.difference_low, "gain_high": row.difference_high,
                   "helped": row.helped, "hurt": row.hurt}  # fmt: skip
        metrics |= {"p_value": row.p_value, "p_adjusted": row.p_adjusted}
        metrics = {name: value for name, value in metrics.items() if not math.isnan(value)}
        if row.kind not in CONTROLS and row.amount.is_integer():
            run.log_metrics({f"thinking/{row.kind}_{measure}": row.value}, step=int(row.amount))
        params = {"kind": row.kind, "amount": f"{row.amount:g}", "levels": row.levels, "frames": frames}
        note = of_setting(row.kind, None if row.kind in CONTROLS else row.amount, measure)
        with run.child(name, params, note) as child:
            child.log_metrics(metrics)  # all at step 0: MLflow then draws bars instead of curves of one point

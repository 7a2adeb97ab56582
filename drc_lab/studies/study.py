"""The thinking study of one policy: it is played at all settings, measured, logged and reported on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drc_lab.app.continuing import continuable
from drc_lab.app.start import say
from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.kinds.kind import Setting
from drc_lab.evaluation.measures.all_findings import statistics_of
from drc_lab.evaluation.measures.findings import findings
from drc_lab.evaluation.measures.gains import sensitivity
from drc_lab.evaluation.measures.table import Row, table
from drc_lab.progress import working
from drc_lab.studies.episodes import PARTS, play_all
from drc_lab.studies.levels import count_levels, report_env
from drc_lab.studies.nested_runs import log_settings
from drc_lab.studies.reporting import report_on, tell_where
from drc_lab.studies.shift import Shift, make_shifts, play_shifts
from drc_lab.studies.subject import Subject
from drc_lab.studies.tracing import traced
from drc_lab.tracking.run import Run


@dataclass(frozen=True)
class Plan:
    """What a study will play. It is checked before anything is played.

    Args:
        subject: the policy.
        env: with the base held-out levels, which are reported on in full.
        thinking_settings: amounts of thinking and controls to play there.
        shifts: levels to compare with the base.
    """

    subject: Subject
    env: BatchEnv
    thinking_settings: Sequence[Setting]
    shifts: Sequence[Shift]


def plan_study(subject: Subject) -> Plan:
    """Plans the thinking sweep that the settings of a policy's evaluation describe.

    Raises:
        ConfigError: it is not possible with these settings.
    """
    settings = subject.settings

    def settings_in(env: BatchEnv) -> list[Setting]:
        return settings.thinking.settings(subject.policy, env)

    env = report_env(settings, subject.policy)
    settings.report.check_levels(count_levels(env))
    return Plan(subject, env, settings_in(env), make_shifts(subject, settings_in))


def run_study(plan: Plan, folder: Path, run: Run, so_far: str = "") -> list[Row]:
    """Plays a sweep, or the rest of an interrupted one, and writes the report; returns the rows of its table.

    Args:
        plan: what to play.
        folder: of the run.
        run: that results are logged to.
        so_far: a sentence on what the command has done before, for the message when it is stopped.

    Raises:
        Stopped: by a signal.
    """
    subject, env = plan.subject, plan.env
    confidence, power = subject.settings.evaluation.confidence, subject.settings.thinking.power
    with continuable(folder, so_far):
        records = play_all(subject, env, plan.thinking_settings, folder / PARTS)
        with working("statistics of all settings"):
            rows = table(records, confidence)
            statistics = statistics_of(records, rows, confidence, power)
        shifted = play_shifts(plan.shifts, rows, folder, run)
        found = [*statistics, *shifted, *findings(records, confidence), *traced(subject, env, records)]
        log_settings(rows, run, subject.frames)
        shown = report_on("Does more thinking help?", subject, env, rows, found, records, folder, run)
    if rows[0].measure.is_rate:
        say(sensitivity(rows, confidence, power))
    tell_where([*shown, *run.shown])
    return rows

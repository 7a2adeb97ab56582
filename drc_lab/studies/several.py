"""task=thinking for several checkpoints: one for each seed of an experiment, or all of one training."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from drc_lab.app.checked import check_several, evaluation_spec, report_spec, thinking_spec
from drc_lab.app.continuing import continuable
from drc_lab.app.held_out import check_fits
from drc_lab.app.record import evaluation_run
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.measure import MEASURES
from drc_lab.evaluation.measures.over_frames import metrics_at, over_frames_findings
from drc_lab.evaluation.measures.seeds import seed_findings
from drc_lab.evaluation.measures.table import table
from drc_lab.evaluation.play.records import SUBJECT, concatenated
from drc_lab.models.policy import num_actions
from drc_lab.progress import working
from drc_lab.studies.reporting import report_on_several
from drc_lab.studies.session import PARTS, Subject, count_levels, lab_env, play_all, tell_power
from drc_lab.studies.study import tell_where
from drc_lab.tracking.descriptions import of_setting
from drc_lab.tracking.naming import setting_names
from drc_lab.tracking.run import Run

COLUMNS = {"": "mean", "_low": "low", "_high": "high"}


def play_several(config: DictConfig, found: Sequence[Subject], folder: Path) -> None:
    """Plays all policies on the same levels; prints and writes statistics over seeds, or over the frames of a training.

    Raises:
        ConfigError: one of the policies cannot play there.
    """
    check_several(config)
    of_one_training = thinking_spec(config).run is not None
    levels = lab_env(found[0].config, found[0].policy)
    for subject in found[1:]:
        check_fits(subject.policy, num_actions(subject.policy), levels, "checkpoint")
    report_spec(config, count_levels(levels))
    settings = [thinking_spec(config).settings(subject.policy, levels) for subject in found]
    confidence = evaluation_spec(found[0].config).confidence
    tell_power(found[0].config, levels, settings[0])
    with evaluation_run(config, folder) as run, continuable(folder):
        parts: list[pd.DataFrame] = []
        for subject, own in zip(found, settings, strict=True):
            what = f"{len(parts) + 1} of {len(found)}"
            played = play_all(subject, levels, own, folder / PARTS / subject.digest[:12], what, judged=False)
            parts.append(named(played, subject))
        records = concatenated(parts)
        with working("statistics of all settings"):
            rows = table(records, confidence)
            findings = over_frames_findings(rows, confidence) if of_one_training else seed_findings(records, confidence)
        if of_one_training:
            for frames, metrics in metrics_at(rows).items():
                run.log_metrics(metrics, frames)
        else:
            log_over_seeds(findings, run, len(found))
        shown = report_on_several("Does more thinking help?", found, rows, findings, records, folder, run)
    tell_where([*shown, *run.shown])


def named(records: pd.DataFrame, subject: Subject) -> pd.DataFrame:
    """Adds columns to records that say which checkpoint they are of."""
    return records.assign(**dict(zip(SUBJECT, (subject.name, subject.seed, subject.frames), strict=True)))


def log_over_seeds(findings: Sequence[Finding], run: Run, seeds: int) -> None:
    """Logs means over seeds: a nested run for each setting, and in ``run`` a curve over amounts of thinking."""
    rates, gains, robust = (finding.table for finding in findings if finding.name != "seeds_single")
    of_gains = {(row["kind"], str(row["amount"])): row for row in gains.to_dict("records")}
    measure = next(measure for measure in MEASURES.values() if measure.column in robust)
    iqm_of = {measure.column: f"{measure.metric}_iqm", "gain": "gain_iqm"}
    iqm_names = {old + end: new + end for old, new in iqm_of.items() for end in COLUMNS}
    robust = robust.rename(columns=iqm_names)
    names = setting_names(list(zip(rates["kind"], rates["amount"], strict=True)))
    for row, iqm, name in zip(rates.to_dict("records"), robust.to_dict("records"), names, strict=True):
        metrics = {f"{measure.metric}{end}": row[column] for end, column in COLUMNS.items()}
        gain = of_gains.get((row["kind"], str(row["amount"])), {})
        metrics |= {f"gain{end}": gain[column] for end, column in COLUMNS.items() if gain}
        metrics |= {"p_value": gain["p"], "p_adjusted": gain["p_holm"]} if gain else {}
        metrics |= {name: value for name, value in iqm.items() if "iqm" in name}
        known = {name: value for name, value in metrics.items() if not math.isnan(value)}
        amount = "" if math.isnan(row["amount"]) else f"{row['amount']:g}"
        if amount.isdigit():
            run.log_metrics({f"thinking/{row['kind']}_{measure.metric}": row["mean"]}, step=int(row["amount"]))
        note = of_setting(row["kind"], row["amount"] if amount else None, measure.metric)
        with run.child(name, {"kind": row["kind"], "amount": amount or "0", "seeds": seeds}, note) as child:
            child.log_metrics(known)

"""task=thinking for several checkpoints: one for each seed of an experiment, or all of one training."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from drc_lab.app.checkpoints import check_no_shift
from drc_lab.app.continuing import continuable
from drc_lab.app.fits import check_fits
from drc_lab.app.record import evaluation_run
from drc_lab.app.settings import Settings
from drc_lab.evaluation.measures.over_frames import metrics_at, over_frames_findings
from drc_lab.evaluation.measures.seeds import seed_findings
from drc_lab.evaluation.measures.table import table
from drc_lab.evaluation.play.records import SUBJECT, concatenated
from drc_lab.models.policy import num_actions
from drc_lab.progress import working
from drc_lab.studies.episodes import PARTS, play_all
from drc_lab.studies.levels import count_levels, report_env, tell_power
from drc_lab.studies.nested_runs import log_over_seeds
from drc_lab.studies.reporting import report_on_several, tell_where
from drc_lab.studies.subjects import Subject


def play_several(settings: Settings, subjects: Sequence[Subject], folder: Path) -> None:
    """Plays all policies on the same levels; prints and writes statistics over seeds, or over the frames of a training.

    Raises:
        ConfigError: one of the policies cannot play there.
    """
    check_no_shift(settings)
    of_one_training = settings.thinking.run is not None
    first, *others = subjects
    env = report_env(first.settings, first.policy)
    for subject in others:
        check_fits(subject.policy, num_actions(subject.policy), env, "checkpoint")
    settings.report.check_levels(count_levels(env))
    thinking_settings = [settings.thinking.settings(subject.policy, env) for subject in subjects]
    confidence = first.settings.evaluation.confidence
    tell_power(first.settings, env, thinking_settings[0])
    with evaluation_run(settings, folder, first.config) as run, continuable(folder):
        parts: list[pd.DataFrame] = []
        for number, (subject, to_play) in enumerate(zip(subjects, thinking_settings, strict=True), 1):
            place, what = folder / PARTS / subject.digest[:12], f"{number} of {len(subjects)}"
            parts.append(named(play_all(subject, env, to_play, place, what, judged=False), subject))
        records = concatenated(parts)
        with working("statistics of all settings"):
            rows = table(records, confidence)
            findings = over_frames_findings(rows, confidence) if of_one_training else seed_findings(records, confidence)
        if of_one_training:
            for frames, metrics in metrics_at(rows).items():
                run.log_metrics(metrics, frames)
        else:
            log_over_seeds(findings, run, len(subjects))
        shown = report_on_several("Does more thinking help?", subjects, rows, findings, records, folder, run)
    tell_where([*shown, *run.shown])


def named(records: pd.DataFrame, subject: Subject) -> pd.DataFrame:
    """Adds columns to records that say which checkpoint they are of."""
    return records.assign(**dict(zip(SUBJECT, (subject.name, subject.seed, subject.frames), strict=True)))

"""task=thinking for several checkpoints: the seeds of one experiment, or what one training left on its way."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from drc_lab.arguments import from_mapping
from drc_lab.config import plain
from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.finding import Finding
from drc_lab.evaluation.over_frames import metrics_at, over_frames_finding
from drc_lab.evaluation.records import SUBJECT
from drc_lab.evaluation.seeds import seed_findings
from drc_lab.evaluation.table import table
from drc_lab.models.policy import num_actions
from drc_lab.tasks.held_out import check_fits, evaluation_spec
from drc_lab.tasks.laboratory import PARTS, Subject, lab_env, play_all, tell_power, thinking_spec
from drc_lab.tasks.record import default_name, run_tags
from drc_lab.tasks.start import console, say
from drc_lab.tasks.subjects import check_same_settings
from drc_lab.tracking.run import Run, tracked_run
from drc_lab.tracking.spec import TrackingSpec


def play_several(config: DictConfig, found: Sequence[Subject], folder: Path) -> None:
    """Plays all on the same levels; prints and writes what holds over them.

    Raises:
        ConfigError: one of them cannot play there, or not at the same settings as the others.
    """
    of_one_training = thinking_spec(config).run is not None
    levels = lab_env(found[0].config, found[0].policy)
    for subject in found[1:]:
        check_fits(subject.policy, num_actions(subject.policy), levels, "checkpoint")
    settings = [thinking_spec(config).settings(subject.policy, levels) for subject in found]
    if not of_one_training:
        check_same_settings(settings, found)
    confidence = evaluation_spec(found[0].config).confidence
    tell_power(found[0].config, levels, settings[0])
    spec = from_mapping(TrackingSpec, plain(config).get("tracking", {}), "tracking")
    name = str(config.name or default_name(config))
    with tracked_run(spec, folder, config.study, name, run_tags(config), True, say) as run:
        parts = []
        for subject, own in zip(found, settings, strict=True):
            say(f"{subject.name}: seed {subject.seed}, {subject.frames:,} frames")
            played = play_all(subject, levels, own, folder / PARTS / subject.digest[:12])
            parts.append(named(played, subject))
        records = pd.concat(parts, ignore_index=True)
        rows = table(records, confidence)
        if of_one_training:
            findings = [over_frames_finding(rows, confidence)]
            for frames, metrics in metrics_at(rows).items():
                run.log_metrics(metrics, frames)
        else:
            findings = seed_findings(records, confidence)
            log_over_seeds(findings, run, len(found))
        report_on_several(rows, findings, records, folder, run)


def named(records: pd.DataFrame, subject: Subject) -> pd.DataFrame:
    """The records of one of several checkpoints."""
    return records.assign(**dict(zip(SUBJECT, (subject.name, subject.seed, subject.frames), strict=True)))

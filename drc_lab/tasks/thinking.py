"""task=thinking: whether more thinking helps a trained policy, and where."""

from pathlib import Path

from omegaconf import DictConfig

from drc_lab.arguments import from_mapping
from drc_lab.config import plain
from drc_lab.errors import ConfigError
from drc_lab.evaluation.table import table
from drc_lab.tasks.held_out import evaluation_spec
from drc_lab.tasks.laboratory import PARTS, lab_env, load_subject, play_all, thinking_spec
from drc_lab.tasks.record import default_name, run_tags
from drc_lab.tasks.reporting import report_on, report_spec
from drc_lab.tasks.start import console, say, start
from drc_lab.tasks.store import checkpoint_file
from drc_lab.tasks.thinking_sweep import log_settings
from drc_lab.tracking.run import tracked_run
from drc_lab.tracking.spec import TrackingSpec


def main(config: DictConfig, folder: Path) -> None:
    """Plays the checkpoint at every setting, prints and writes the report."""
    start(config)
    if config.checkpoint is None:
        raise ConfigError("checkpoint", None, "a .ckpt file that a training wrote, or models:/NAME@ALIAS")
    report_spec(config)
    subject = load_subject(config, checkpoint_file(config), str(config.checkpoint))
    levels = lab_env(subject.config, subject.policy)
    settings = thinking_spec(config).settings(subject.policy, levels)
    spec = from_mapping(TrackingSpec, plain(config).get("tracking", {}), "tracking")
    with tracked_run(
        spec, folder, config.study, str(config.name or default_name(config)), run_tags(config), True, say
    ) as run:
        records = play_all(subject, levels, settings, folder / PARTS)
        rows = table(records, evaluation_spec(subject.config).confidence)
        log_settings(rows, run, subject.frames)
        shown = report_on("Does more thinking help?", subject, levels, rows, [], records, folder, run)
    for name, value in (*shown, *run.shown):
        console.print(f"{name:11}{value}", soft_wrap=True)

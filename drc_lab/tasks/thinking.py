"""task=thinking: whether more thinking helps a trained policy, and where."""

from pathlib import Path

from omegaconf import DictConfig

from drc_lab.arguments import from_mapping
from drc_lab.config import plain
from drc_lab.errors import ConfigError
from drc_lab.evaluation.report import plot, terminal_tables, write_csv
from drc_lab.evaluation.table import table
from drc_lab.files import written
from drc_lab.tasks.held_out import evaluation_spec
from drc_lab.tasks.laboratory import PARTS, lab_env, load_subject, play_all, thinking_spec
from drc_lab.tasks.record import default_name, run_tags
from drc_lab.tasks.start import console, say, start
from drc_lab.tasks.store import checkpoint_file
from drc_lab.tasks.thinking_sweep import log_settings
from drc_lab.tracking.run import tracked_run
from drc_lab.tracking.spec import TrackingSpec


def main(config: DictConfig, folder: Path) -> None:
    """Plays the checkpoint at every setting, prints tables; writes thinking.csv, thinking.png and levels.parquet."""
    start(config)
    if config.checkpoint is None:
        raise ConfigError("checkpoint", None, "a .ckpt file that a training wrote, or models:/NAME@ALIAS")
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
        paths = [folder / name for name in ("levels.parquet", "thinking.png", "thinking.csv")]
        with written(paths[0]) as part:
            records.to_parquet(part, index=False)
        with written(paths[1]) as part:
            plot(rows, part)
        with written(paths[2]) as part:
            write_csv(rows, part)
        for path in paths:
            run.log_artifact(path)
    console.print(*terminal_tables(rows, evaluation_spec(subject.config).confidence), sep="\n")
    for path in paths:
        console.print(f"{path.suffix[1:]:11}{path}", soft_wrap=True)

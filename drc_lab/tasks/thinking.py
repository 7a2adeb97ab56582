"""task=thinking: whether more thinking helps a trained policy, and where."""

from pathlib import Path

from omegaconf import DictConfig

from drc_lab.arguments import from_mapping
from drc_lab.config import plain
from drc_lab.evaluation.gains import sensitivity
from drc_lab.evaluation.statistics import statistics_of
from drc_lab.evaluation.table import table
from drc_lab.tasks.elsewhere import other_worlds, play_elsewhere
from drc_lab.tasks.held_out import evaluation_spec
from drc_lab.tasks.laboratory import PARTS, lab_env, measures_of, play_all, tell_power, thinking_spec
from drc_lab.tasks.record import default_name, run_tags
from drc_lab.tasks.reporting import report_on, report_spec
from drc_lab.tasks.resume import continuable
from drc_lab.tasks.several import play_several
from drc_lab.tasks.start import console, say, start
from drc_lab.tasks.subjects import subjects
from drc_lab.tasks.thinking_sweep import log_settings
from drc_lab.tracking.run import tracked_run
from drc_lab.tracking.spec import TrackingSpec


def main(config: DictConfig, folder: Path) -> None:
    """Plays the checkpoint at every setting, prints and writes the report."""
    start(config)
    subject, *more = subjects(config)
    if more or thinking_spec(config).run is not None:
        play_several(config, [subject, *more], folder)
        return
    levels = lab_env(subject.config, subject.policy)
    report_spec(config, levels)
    settings = thinking_spec(config).settings(subject.policy, levels)
    others = other_worlds(subject, lambda env: thinking_spec(config).settings(subject.policy, env))
    tell_power(subject.config, levels, settings)
    spec = from_mapping(TrackingSpec, plain(config).get("tracking", {}), "tracking")
    name = str(config.name or default_name(config))
    with tracked_run(spec, folder, config.study, name, run_tags(config), True, say) as run, continuable(folder):
        records = play_all(subject, levels, settings, folder / PARTS)
        confidence, power = evaluation_spec(subject.config).confidence, thinking_spec(config).power
        rows = table(records, confidence)
        log_settings(rows, run, subject.frames)
        elsewhere = play_elsewhere(others, rows, folder, run)
        measures = measures_of(subject, levels, records)
        findings = [*statistics_of(records, rows, confidence, power), *elsewhere, *measures]
        shown = report_on("Does more thinking help?", subject, levels, rows, findings, records, folder, run)
    say(sensitivity(rows, confidence, power))
    for word, value in (*shown, *run.shown):
        console.print(f"{word:11}{value}", soft_wrap=True)

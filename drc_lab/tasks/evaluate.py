"""task=evaluate: how well a trained policy does on held-out levels, and how it fails."""

from pathlib import Path

from omegaconf import DictConfig

from drc_lab.app.checked import check_single, evaluation_spec, report_spec, thinking_spec
from drc_lab.app.continuing import continuable
from drc_lab.app.record import evaluation_run, log_held_out
from drc_lab.app.start import start
from drc_lab.arguments import plain
from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.means import metrics
from drc_lab.evaluation.measures.failures import endings
from drc_lab.evaluation.measures.findings import findings
from drc_lab.evaluation.measures.table import table
from drc_lab.evaluation.play.records import baseline_of
from drc_lab.evaluation.play.thinking import PLAIN, Setting
from drc_lab.studies.reporting import report_on
from drc_lab.studies.session import PARTS, count_levels, lab_env, play_all
from drc_lab.studies.shift import other_worlds, play_elsewhere
from drc_lab.studies.study import tell_where
from drc_lab.studies.subjects import subjects


def main(config: DictConfig, folder: Path) -> None:
    """Plays each level once with the baseline policy and once with each control; prints and writes the report."""
    start(config)
    played = subjects(config)
    check_single([subject.name for subject in played])
    subject = played[0]
    levels = lab_env(subject.config, subject.policy)
    report_spec(config, count_levels(levels))
    settings = settings_in(levels, config)
    others = other_worlds(subject, lambda env: settings_in(env, config))
    confidence = evaluation_spec(subject.config).confidence
    with evaluation_run(config, folder) as run, continuable(folder):
        log_held_out(run, "test", levels, plain(subject.config))
        records = play_all(subject, levels, settings, folder / PARTS)
        rows = table(records, confidence)
        run.log_metrics(metrics(baseline_of(records), confidence), subject.frames)
        elsewhere = play_elsewhere(others, rows, folder, run)
        ends = endings(records)
        found = [*([ends] if ends else []), *elsewhere, *findings(records, confidence)]
        shown = report_on("How good is it?", subject, levels, rows, found, records, folder, run)
    tell_where([*shown, *run.shown])


def settings_in(env: BatchEnv, config: DictConfig) -> list[Setting]:
    """Returns the settings of the baseline policy and of the controls that are possible in this env."""
    return [PLAIN, *thinking_spec(config).control_settings(env)]

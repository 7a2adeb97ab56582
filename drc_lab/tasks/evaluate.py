"""task=evaluate: how well a trained policy does on held-out levels, and how it fails.

python -m drc_lab task=evaluate checkpoint=FILE
"""

from pathlib import Path

from drc_lab.app.continuing import continuable
from drc_lab.app.record import evaluation_run, log_held_out
from drc_lab.app.settings import Settings
from drc_lab.app.start import start
from drc_lab.arguments import plain
from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.kinds.first_passes import BASELINE
from drc_lab.evaluation.kinds.kind import Setting
from drc_lab.evaluation.means import metrics
from drc_lab.evaluation.measures.failures import endings
from drc_lab.evaluation.measures.shipped import findings, measures_of
from drc_lab.evaluation.measures.table import table
from drc_lab.evaluation.play.records import baseline_of
from drc_lab.studies.episodes import PARTS, play_all
from drc_lab.studies.levels import count_levels, report_env
from drc_lab.studies.reporting import report_on, tell_where
from drc_lab.studies.shift import make_shifts, play_shifts
from drc_lab.studies.subjects import load_single


def main(settings: Settings, folder: Path) -> None:
    """Plays each level once with the baseline policy and once with each control; prints and writes the report."""
    start(settings)
    subject = load_single(settings)
    env = report_env(subject.settings, subject.policy)
    settings.report.check_levels(count_levels(env))

    def settings_in(env: BatchEnv) -> list[Setting]:
        return [BASELINE, *settings.thinking.control_settings(subject.policy, env)]

    thinking_settings, shifts = settings_in(env), make_shifts(subject, settings_in)
    confidence = subject.settings.evaluation.confidence
    with evaluation_run(settings, folder, subject.config) as run, continuable(folder):
        log_held_out(run, "test", env, plain(subject.config))
        records = play_all(subject, env, thinking_settings, folder / PARTS)
        rows = table(records, confidence)
        run.log_metrics(metrics(baseline_of(records), confidence), subject.frames)
        shifted = play_shifts(shifts, rows, folder, run)
        ends = endings(records)
        measured = findings(records, confidence, measures_of(subject.settings.thinking))
        answers = [*([ends] if ends else []), *shifted, *measured]
        shown = report_on("How good is it?", subject, env, rows, answers, records, folder, run)
    tell_where([*shown, *run.shown])

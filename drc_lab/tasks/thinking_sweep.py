"""task=thinking_sweep: trains a policy, then tests on held-out levels whether more thinking helps it.

python -m drc_lab +experiment=thinking_sweep
"""

from pathlib import Path

from drc_lab.app.continuing import continuable
from drc_lab.app.record import log_held_out
from drc_lab.app.settings import Settings
from drc_lab.app.training import Training, prepare
from drc_lab.evaluation.kinds.first_passes import FIRST_PASSES
from drc_lab.evaluation.report import TABLE
from drc_lab.studies.plan import plan_study
from drc_lab.studies.reporting import tell_where
from drc_lab.studies.study import run_study
from drc_lab.studies.subjects import Subject, load_subject
from drc_lab.tasks.train import TrainingResult, earlier_result, fit, result_of, start_run, tell_finished
from drc_lab.tracking.run import Run


def main(settings: Settings, folder: Path) -> None:
    """See `run`."""
    run(settings, folder)


def run(settings: Settings, folder: Path) -> TrainingResult:
    """Trains, then plays the best checkpoint at each amount of thinking; prints and writes the report."""
    training = prepare(settings, folder)
    plan_study(Subject("", training.agent.policy, settings, 0, 0, ""))  # only to find mistakes before the training
    folder = training.beginning.folder
    if training.beginning.finished and (folder / TABLE).exists():
        tell_finished(training.beginning)
        return earlier_result(training)
    with continuable(folder), start_run(settings, training.beginning) as recorded:
        best = fit(training, recorded)
        if training.trainer.is_global_zero:
            report(training, settings, best, recorded)
    return result_of(training, best, recorded)


def report(training: Training, settings: Settings, best: Path, run: Run) -> None:
    """Plays the trained policy at each amount of thinking and writes the report."""
    subject = load_subject(settings.config, best, best.stem)
    plan = plan_study(subject)
    log_held_out(run, "test", plan.env, training.agent.config)
    tell_where([("checkpoint", best)])
    rows = run_study(plan, training.beginning.folder, run, "Trained.")
    plain = (FIRST_PASSES, 0)
    final = [row for row in rows if row.optimal == "all" and (row.is_control or (row.kind, row.amount) == plain)]
    frames = training.agent.frames
    run.log_metrics({f"final/{row.kind}_{row.criterion.metric}": row.value for row in final}, frames)

"""task=thinking_sweep: trains, then asks on levels it has never seen whether more thinking helps the policy."""

from pathlib import Path

from omegaconf import DictConfig

from drc_lab.evaluation.report import TABLE
from drc_lab.evaluation.thinking import FIRST_PASSES
from drc_lab.tasks.continuing import continuable
from drc_lab.tasks.investigate import investigate, planned, tell_where
from drc_lab.tasks.laboratory import Subject, load_subject
from drc_lab.tasks.record import log_held_out
from drc_lab.tasks.train import fit, prepare, start_run, tell_finished


def main(config: DictConfig, folder: Path) -> None:
    """Trains, then plays the best checkpoint at each amount of thinking; prints and writes the report."""
    training = prepare(config, folder)
    planned(Subject("", training.agent.policy, config, 0, 0, ""))  # a mistake shows before the training
    folder = training.beginning.folder
    if training.beginning.finished and (folder / TABLE).exists():
        tell_finished(training.beginning)
        return
    with continuable(folder), start_run(config, training.beginning) as run:
        best = fit(training, run)
        if not training.trainer.is_global_zero:
            return
        subject = load_subject(config, best, best.stem)
        plan = planned(subject)
        log_held_out(run, "test", plan.env, training.agent.config)
        tell_where([("checkpoint", best)])
        rows = investigate(plan, folder, run, "Trained.")
        plain = (FIRST_PASSES, 0)
        final = [row for row in rows if row.optimal == "all" and (row.is_control or (row.kind, row.amount) == plain)]
        frames = training.agent.frames
        run.log_metrics({f"final/{row.kind}_{row.measure.metric}": row.value for row in final}, frames)

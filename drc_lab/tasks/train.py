"""task=train: trains a policy in an env; the run records its learning curves and checkpoints.

python -m drc_lab env=ricochet policy=drc algo=impala
"""

import gc
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omegaconf import OmegaConf

from drc_lab.app.continuing import continuable, resume_command
from drc_lab.app.multirun import job_tags
from drc_lab.app.record import log_held_out, name_of, run_tags
from drc_lab.app.resume import Beginning
from drc_lab.app.settings import CONFIG, Settings
from drc_lab.app.start import console, say
from drc_lab.app.training import Training, prepare
from drc_lab.arguments import plain
from drc_lab.checkpoint_names import LAST
from drc_lab.checksums import BLANK, MARK, sealed
from drc_lab.files import written
from drc_lab.learning.checkpointing import BEST, Outcome
from drc_lab.learning.lost_ranks import ranks_watched
from drc_lab.learning.rendezvous import on_this_machine
from drc_lab.passwords import hidden_in
from drc_lab.signals import Stopped
from drc_lab.tracking.datasets import log_levels
from drc_lab.tracking.journal import run_id
from drc_lab.tracking.logger import RunLogger
from drc_lab.tracking.rest import ended_for_rank_0
from drc_lab.tracking.run import Run, tracked_run
from drc_lab.tracking.system import system_metrics


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training.

    Args:
        folder: of the run, with its config, checkpoints and other files.
        checkpoint: the best one on held-out levels; `drc_lab.load_policy` reads it.
        run_id: of the run in MLflow; None without MLflow.
        metrics: means over the held-out levels of the last evaluation, by name. MLflow has them as ``final/NAME``.
        best: the best held-out solve rate, or return if the env does not report success.
    """

    folder: Path
    checkpoint: Path
    run_id: str | None
    metrics: dict[str, float]
    best: float


def main(settings: Settings, folder: Path) -> float:
    """Trains; returns `TrainingResult.best`, which sweeps optimise."""
    return run(settings, folder).best


def run(settings: Settings, folder: Path) -> TrainingResult:
    """Trains, or resumes a training, and prints where the best checkpoint is."""
    training = prepare(settings, folder)
    if training.beginning.finished:
        tell_finished(training.beginning)
        return earlier_result(training)
    where = training.beginning.folder
    with (
        continuable(where),
        ended_for_rank_0(where, settings.tracking.uri, lambda: how_to_go_on(where)),
        start_run(settings, training.beginning) as recorded,
    ):
        best = fit(training, recorded)
    console.print(f"checkpoint {best}", soft_wrap=True)
    return result_of(training, best, recorded)


def result_of(training: Training, best: Path, recorded: Run) -> TrainingResult:
    """Returns the result of a training that has just finished."""
    evaluation = training.evaluation
    return TrainingResult(training.beginning.folder, best, recorded.run_id, dict(evaluation.result), evaluation.best)


def earlier_result(training: Training) -> TrainingResult:
    """Returns the result of a training that an earlier command finished."""
    begin = training.beginning
    best, last = (begin.checkpoints / name for name in (BEST, LAST))
    recorded = run_id(begin.folder) if training.trainer.is_global_zero else None  # only one process can open it
    return TrainingResult(begin.folder, best if best.is_file() else last, recorded, dict(begin.result), begin.best)


def fit(training: Training, run: Run) -> Path:
    """Runs the trainer; returns the checkpoint that was best on held-out levels.

    Raises:
        Stopped: by a signal, after a checkpoint was written.
    """
    trainer, checkpoints, start = training.trainer, training.checkpoints, training.beginning
    trainer.loggers = [RunLogger(run)]
    config = training.agent.config
    log_levels(run, "train", training.env, config["env"])
    log_held_out(run, "valid", training.evaluation.env, config)
    if training.agent.policy.note:
        console.print(training.agent.policy.note, soft_wrap=True)
    gc.freeze()  # collections can skip the hundreds of thousands of objects that libraries made, which stay
    with training.stop.listening(), on_this_machine(trainer):
        try:
            with ranks_watched(trainer, lambda: how_to_go_on(start.folder)):
                trainer.fit(training.agent, datamodule=training.data, ckpt_path=start.checkpoint, weights_only=True)
        except SystemExit as error:  # Lightning turns a KeyboardInterrupt into this
            raise error.__context__ or KeyboardInterrupt from None
        if checkpoints.outcome is None:  # no step was left, so Lightning called no hook
            training.agent.to(trainer.strategy.root_device)
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                callback.on_train_end(trainer, training.agent)
    stopped = checkpoints.outcome is Outcome.STOPPED
    if training.stop.signal and not stopped and trainer.is_global_zero:  # signal after the last checkpoint
        raise Stopped(training.stop.signal)
    for path in {checkpoints.last, checkpoints.best}:
        if path.is_file():  # there is none if the training was stopped before its first rollout
            run.log_artifact(path, "checkpoints")
    if stopped and trainer.is_global_zero:  # other ranks just end: raising there would look like an error
        by, frames, command = (
            training.stop.signal or signal.SIGTERM,
            training.agent.frames,
            resume_command(start.folder),
        )
        raise Stopped(by, f"{by.name} after {frames:,} frames. Go on with:  {command}")
    # MLflow's table of runs shows the last value of a metric, so that sorting by these compares whole trainings.
    result, frames = training.evaluation.result, training.agent.frames
    run.log_metrics({f"final/{name}": value for name, value in result.items()} | {"final/frames": frames}, frames)
    return checkpoints.best


def how_to_go_on(folder: Path) -> str:
    """Returns the end of the message about a rank that is gone."""
    return f"go on with:  {resume_command(folder)}"


def tell_finished(start: Beginning) -> None:
    """Prints that the run is finished already and there is nothing to do."""
    console.print(f"{start.folder} holds this run, finished; resume=never begins anew there", soft_wrap=True)


@contextmanager
def start_run(settings: Settings, start: Beginning) -> Iterator[Run]:
    """Opens the recorded run of a training; a new run also gets the config, logged and as ``config.yaml``."""
    config, spec = settings.config, settings.tracking
    name, tags = name_of(config), run_tags(config) | job_tags()
    with (
        tracked_run(spec, start.folder, config.study, name, tags, start.same_run, say) as run,
        system_metrics(run, spec.system_metrics_seconds),
    ):
        if start.checkpoint is None or not start.same_run:
            path, recorded = start.folder / CONFIG, hidden_in(plain(config))
            with written(path) as part:
                text = f"# {MARK.decode()}{BLANK.decode()}\n{OmegaConf.to_yaml(recorded)}"
                part.write_bytes(sealed(text.encode()))
            run.log_config(recorded, path)
        yield run

"""task=train: trains a policy in an env; the run records its learning curves and checkpoints.

python -m drc_lab env=ricochet policy=drc algo=impala
"""

import gc
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher, _SubprocessScriptLauncher
from omegaconf import DictConfig, OmegaConf
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from drc_lab.app.checkpoints import checkpoint_file
from drc_lab.app.continuing import continuable, resume_command
from drc_lab.app.device import check_accelerator, check_trainable
from drc_lab.app.fits import check_fits
from drc_lab.app.held_out import held_out_env, size_key
from drc_lab.app.multirun import job_tags
from drc_lab.app.record import log_held_out, name_of, run_tags
from drc_lab.app.resume import Beginning, beginning
from drc_lab.app.settings import CONFIG, Settings
from drc_lab.app.start import console, say, start
from drc_lab.app.task_checks import check_taught
from drc_lab.arguments import errors_under, plain
from drc_lab.building import build, build_a
from drc_lab.checkpoint_names import LAST
from drc_lab.checksums import BLANK, MARK, sealed
from drc_lab.config import build_policy, make_env
from drc_lab.envs.check import check_batch
from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.judge import Judge
from drc_lab.envs.vector import game_of, solver_of
from drc_lab.errors import ConfigError, UserError
from drc_lab.files import written
from drc_lab.launch import in_sweep
from drc_lab.learning.agent import Agent
from drc_lab.learning.auxiliary import build_auxiliary
from drc_lab.learning.checkpointing import BEST, AtomicCheckpointIO, Checkpoints
from drc_lab.learning.checkpoints import begin_with
from drc_lab.learning.data import RolloutData
from drc_lab.learning.losses import Loss
from drc_lab.learning.losses.check import check_loss
from drc_lab.learning.lost_ranks import ranks_watched
from drc_lab.learning.memory import check_rollouts
from drc_lab.learning.metrics import TrainingMetrics
from drc_lab.learning.progress import TrainingProgress
from drc_lab.learning.rollout_spec import RolloutSpec
from drc_lab.learning.stop import GracefulStop
from drc_lab.learning.time_limit import ScheduleInTime
from drc_lab.learning.unroll import GraphedUnroll
from drc_lab.learning.validation import HeldOutEvaluation
from drc_lab.models.policy import Policy
from drc_lab.passwords import hidden_in
from drc_lab.progress import display
from drc_lab.signals import Stopped
from drc_lab.targets import own_frames, shipped, told
from drc_lab.tracking.datasets import log_levels
from drc_lab.tracking.journal import run_id
from drc_lab.tracking.logger import RunLogger
from drc_lab.tracking.run import Run, tracked_run
from drc_lab.tracking.system import system_metrics


@dataclass
class Training:
    """Everything that `fit` needs, built and checked before anything is written."""

    agent: Agent
    data: RolloutData
    trainer: L.Trainer
    evaluation: HeldOutEvaluation
    checkpoints: Checkpoints
    stop: GracefulStop
    beginning: Beginning
    env: BatchEnv  # like the one that the policy is trained in, with one board


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
    with continuable(training.beginning.folder), start_run(settings, training.beginning) as recorded:
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


def prepare(settings: Settings, folder: Path) -> Training:
    """Builds envs, policy, loss, rollouts and trainer; raises here for any mistake in the config."""
    start(settings)
    config = settings.config
    check_accelerator(config.trainer.get("accelerator"))
    begin = beginning(config, folder)
    spec: RolloutSpec = build_a(RolloutSpec, config.algo.rollouts, "algo.rollouts")
    env = make_env(config.env, num_envs=1)
    policy = build_policy(config.policy, env)
    loss: Loss = build_a(Loss, config.algo.loss, "algo.loss")
    if not shipped(loss):
        check_loss(loss, "algo.loss._target_", config.algo.loss._target_)
    if (game := game_of(env)) is not None and not shipped(game):
        check_batch(make_env(config.env, num_envs=2), "env.id", config.env.id)
    if loss.uses_optimal_actions:
        check_taught(config)
        if solver_of(env) is None:
            allowed = "a game with an exact solver (steps_to_solve), as algo.loss learns from it"
            raise ConfigError("env.id", config.env.id, allowed)
    optimizer = build(config.algo.optimizer, "algo.optimizer")
    schedule = None if config.algo.schedule is None else build(config.algo.schedule, "algo.schedule")
    algo, num_actions = settings.algo, int(env.single_action_space.n)
    auxiliary = build_auxiliary(config.algo.get("auxiliary"), policy, num_actions)
    with errors_under("algo"):
        recorded = hidden_in(plain(config))
        agent = Agent(policy, loss, optimizer, spec, schedule, algo.head_l2_coef, recorded, auxiliary)
        metrics = TrainingMetrics(algo.log_every_rollouts)
    check_optimization(agent, config.algo)
    held_out = settings.evaluation
    levels = held_out_env(settings, held_out.split)
    check_fits(policy, num_actions, levels, size_key(settings))
    if config.checkpoint is not None and begin.checkpoint is None:
        frames = begin_with(policy, checkpoint_file(config), config.checkpoint, plain(config.env))
        say(f"begins with the weights that {config.checkpoint} has after {frames:,} frames")
    data = RolloutData(
        spec, partial(make_env, config.env, copy=False), policy, config.seed, loss.uses_behaviour_values,
        lambda n: held_out_env(settings, held_out.split, num_envs=min(n, levels.num_envs), autoreset=False), say,
        partial(judge_of, loss) if loss.uses_optimal_actions else None,
    )  # fmt: skip

    # Evaluations and checkpoints happen at the ends of rollouts: only there is a run's state small and complete.
    stop = GracefulStop()
    evaluation = HeldOutEvaluation(levels, held_out, spec.in_rollouts(held_out.every_frames), stop)
    kept = settings.checkpoints
    often = spec.in_rollouts(kept.every_frames or held_out.every_frames)
    checkpoints = Checkpoints(begin.checkpoints, kept, often, evaluation, stop)
    chosen, bar = chosen_callbacks(config, policy), TrainingProgress(display)
    callbacks = [stop, metrics, evaluation, *chosen, ScheduleInTime(say), bar, checkpoints]
    trainer: L.Trainer = build_a(
        L.Trainer, config.trainer, "trainer", max_steps=spec.optimizer_steps, max_epochs=-1, logger=False,
        callbacks=callbacks, default_root_dir=begin.folder, num_sanity_val_steps=0, enable_progress_bar=False,
        enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    check_trainable(policy, trainer.strategy.root_device)
    trainer.strategy.checkpoint_io = AtomicCheckpointIO()
    check_trainer(trainer, spec)
    if trainer.strategy.root_device.type == "cuda" and spec.cuda_graph and spec.min_repeats is None:
        agent.unroll = GraphedUnroll(policy, say)  # drawn repeats would need a graph each
    with errors_under("algo.rollouts"):
        check_rollouts(spec, env, policy, trainer.num_nodes, trainer.strategy.root_device.type == "cpu")
    return Training(agent, data, trainer, evaluation, checkpoints, stop, begin, env)


def judge_of(loss: Loss, env: BatchEnv) -> Judge:
    """Returns what finds the optimal actions in a training env, for a loss that learns from them."""
    game = solver_of(env)
    assert game is not None
    return loss.judge(game)


def check_trainer(trainer: L.Trainer, spec: RolloutSpec) -> None:
    """Checks that the trainer uses no feature of Lightning that an exact, on-policy training does not support.

    Raises:
        ConfigError: it does.
    """
    if trainer.accumulate_grad_batches != 1:
        raise ConfigError("trainer.accumulate_grad_batches", trainer.accumulate_grad_batches, "1")
    strategy = trainer.strategy
    spawned = isinstance(strategy.launcher, _MultiProcessingLauncher)  # they do not return the trained weights
    if spawned or not isinstance(strategy, SingleDeviceStrategy | DDPStrategy):
        raise ConfigError("trainer.strategy", type(strategy).__name__, "auto | ddp")
    if in_sweep() and isinstance(strategy.launcher, _SubprocessScriptLauncher):
        allowed = "1 in a job of -m, unless its launcher starts all ranks (hydra/launcher=submitit_slurm)"
        raise ConfigError("trainer.devices", trainer.num_devices, allowed)
    with errors_under("algo.rollouts"):
        spec.share(trainer.world_size)


def chosen_callbacks(config: DictConfig, policy: Policy) -> list[L.Callback]:
    """Builds the callbacks of the ``callbacks`` group. If one has a method ``check``, that is called with the policy
    and the env's id, and may raise before anything is written."""
    found = []
    for name, node in config.callbacks.items():
        if node is not None:
            callback: L.Callback = build_a(L.Callback, node, f"callbacks.{name}")
            if (check := getattr(callback, "check", None)) is not None:
                with errors_under(f"callbacks.{name}"):
                    check(policy, str(config.env.id))
            found.append(callback)
    return found


def check_optimization(agent: Agent, algo: DictConfig) -> None:
    """Checks that optimizer and schedule can be built. Lightning would raise only after the run has started.

    Raises:
        UserError: one of them cannot be built, or is not a torch optimizer or schedule.
    """
    made: Any = agent.parameters()
    for name, make, kind in (
        ("optimizer", agent.make_optimizer, Optimizer),
        ("schedule", agent.make_schedule, LRScheduler),
    ):
        if make is not None:
            try:
                made = make(made)
            except Exception as error:
                raise UserError(f"algo.{name}: {told(error) if own_frames(error) else error}") from error
            if not isinstance(made, kind):
                allowed = f"the import path of a torch {kind.__name__}"
                raise ConfigError(f"algo.{name}._target_", algo[name]._target_, allowed)


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
    with training.stop.listening():
        try:
            with ranks_watched(trainer, lambda: f"go on with:  {resume_command(start.folder)}"):
                trainer.fit(training.agent, datamodule=training.data, ckpt_path=start.checkpoint, weights_only=True)
        except SystemExit as error:  # Lightning turns a KeyboardInterrupt into this
            raise error.__context__ or KeyboardInterrupt from None
        if not (checkpoints.finished or checkpoints.stopped):  # no step was left, so Lightning called no hook
            training.agent.to(trainer.strategy.root_device)
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                callback.on_train_end(trainer, training.agent)
    if training.stop.signal and not checkpoints.stopped and trainer.is_global_zero:  # signal after the last checkpoint
        raise Stopped(training.stop.signal)
    for path in {checkpoints.last, checkpoints.best}:
        if path.is_file():  # there is none if the training was stopped before its first rollout
            run.log_artifact(path, "checkpoints")
    if checkpoints.stopped and trainer.is_global_zero:  # other ranks just end: raising there would look like an error
        by, frames, command = (
            training.stop.signal or signal.SIGTERM,
            training.agent.frames,
            resume_command(start.folder),
        )
        raise Stopped(by, f"{by.name} after {frames:,} frames. Go on with:  {command}")
    # MLflow's table of runs shows the last value of a metric, so that sorting by these compares whole trainings.
    worth, frames = training.evaluation.result, training.agent.frames
    run.log_metrics({f"final/{name}": value for name, value in worth.items()} | {"final/frames": frames}, frames)
    return checkpoints.best


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

"""Builds all parts of a training from its config, and checks them before anything is written."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher, _SubprocessScriptLauncher
from omegaconf import DictConfig
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from drc_lab.app.checkpoints import checkpoint_file
from drc_lab.app.device import check_accelerator, check_trainable
from drc_lab.app.fits import check_fits
from drc_lab.app.held_out import held_out_env, size_key
from drc_lab.app.resume import Beginning, beginning
from drc_lab.app.settings import Settings
from drc_lab.app.start import say, start
from drc_lab.app.task_checks import check_taught
from drc_lab.arguments import errors_under, plain
from drc_lab.building import build, build_a
from drc_lab.config import build_policy, make_env
from drc_lab.envs.check import check_batch
from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.judge import Judge
from drc_lab.envs.vector import game_of, solver_of
from drc_lab.errors import ConfigError, UserError
from drc_lab.launch import in_sweep
from drc_lab.learning.agent import Agent
from drc_lab.learning.auxiliary import build_auxiliary
from drc_lab.learning.checkpointing import AtomicCheckpointIO, Checkpoints
from drc_lab.learning.checkpoints import begin_with
from drc_lab.learning.data import RolloutData
from drc_lab.learning.losses import Loss
from drc_lab.learning.losses.check import check_loss
from drc_lab.learning.memory import check_rollouts
from drc_lab.learning.metrics import TrainingMetrics
from drc_lab.learning.progress import TrainingProgress
from drc_lab.learning.rollout_spec import RolloutSpec
from drc_lab.learning.stop import GracefulStop
from drc_lab.learning.time_limit import ScheduleInTime
from drc_lab.learning.unroll import GraphedUnroll
from drc_lab.learning.validation import HeldOutEvaluation
from drc_lab.models.policy import Policy
from drc_lab.own_code import described, own_frames
from drc_lab.passwords import hidden_in
from drc_lab.progress import display
from drc_lab.targets import shipped


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


def prepare(settings: Settings, folder: Path) -> Training:
    """Builds everything that a training needs, and writes nothing: what is cheap to check comes first.

    Raises:
        UserError: there is a mistake in the config.
    """
    start(settings)
    config = settings.config
    check_accelerator(config.trainer.get("accelerator"))
    begins = beginning(config, folder)
    spec: RolloutSpec = build_a(RolloutSpec, config.algo.rollouts, "algo.rollouts")

    env = make_env(config.env, num_envs=1)
    policy = build_policy(config.policy, env)
    loss = build_loss(config, env)
    num_actions = int(env.single_action_space.n)
    agent = build_agent(settings, policy, loss, spec, num_actions)

    held_out = held_out_env(settings, settings.evaluation.split)
    check_fits(policy, num_actions, held_out, size_key(settings))
    if config.checkpoint is not None and begins.checkpoint is None:  # a run that goes on has its own weights
        frames = begin_with(policy, checkpoint_file(config), config.checkpoint, plain(config.env))
        say(f"begins with the weights that {config.checkpoint} has after {frames:,} frames")
    data = build_data(settings, policy, loss, spec, held_out.num_envs)

    # Evaluations and checkpoints happen at the ends of rollouts: only there is a run's state small and complete.
    stop = GracefulStop()
    evaluation = HeldOutEvaluation(
        held_out, settings.evaluation, spec.in_rollouts(settings.evaluation.every_frames), stop
    )
    every_frames = settings.checkpoints.every_frames or settings.evaluation.every_frames
    checkpoints = Checkpoints(
        begins.checkpoints, settings.checkpoints, spec.in_rollouts(every_frames), evaluation, stop
    )
    metrics = TrainingMetrics(settings.algo.log_every_rollouts)
    chosen = chosen_callbacks(config, policy)
    callbacks = [stop, metrics, evaluation, *chosen, ScheduleInTime(say), TrainingProgress(display), checkpoints]
    trainer = build_trainer(config, spec, callbacks, begins.folder)

    device = trainer.strategy.root_device
    check_trainable(policy, device)
    check_trainer(trainer, spec)
    if device.type == "cuda" and spec.cuda_graph and spec.min_repeats is None:
        agent.unroll = GraphedUnroll(policy, say)  # drawn repeats would need a graph each
    check_rollouts(spec, env, policy, trainer.num_nodes, device.type == "cpu")
    return Training(agent, data, trainer, evaluation, checkpoints, stop, begins, env)


def build_loss(config: DictConfig, env: BatchEnv) -> Loss:
    """Builds the loss. Losses and games from outside of the package are tried out on small inputs.

    Raises:
        ConfigError: the loss or the game does not do what it has to, or the loss needs a solver that the game lacks.
    """
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
    return loss


def build_agent(settings: Settings, policy: Policy, loss: Loss, spec: RolloutSpec, num_actions: int) -> Agent:
    """Builds the Lightning module: the policy with its losses, optimizer and schedule.

    Raises:
        UserError: one of them cannot be built.
    """
    config, algo = settings.config, settings.algo
    optimizer = build(config.algo.optimizer, "algo.optimizer")
    schedule = None if config.algo.schedule is None else build(config.algo.schedule, "algo.schedule")
    auxiliary = build_auxiliary(config.algo.get("auxiliary"), policy, num_actions)
    with errors_under("algo"):
        agent = Agent(policy, loss, optimizer, spec, schedule, algo.head_l2_coef, hidden_in(plain(config)), auxiliary)
    check_optimization(agent, config.algo)
    return agent


def build_data(settings: Settings, policy: Policy, loss: Loss, spec: RolloutSpec, held_out_envs: int) -> RolloutData:
    """Builds what collects rollouts in training envs, and makes envs of held-out levels.

    Args:
        settings: of the training.
        policy: which acts.
        loss: says what rollouts have to hold for it.
        spec: of the rollouts.
        held_out_envs: most held-out levels that are played at a time.
    """
    config = settings.config

    def held_out(num_envs: int) -> BatchEnv:
        split, at_once = settings.evaluation.split, min(num_envs, held_out_envs)
        return held_out_env(settings, split, num_envs=at_once, autoreset=False)

    return RolloutData(
        spec,
        partial(make_env, config.env, copy=False),
        policy,
        config.seed,
        loss.uses_behaviour_values,
        held_out,
        say,
        partial(judge_of, loss) if loss.uses_optimal_actions else None,
    )


def judge_of(loss: Loss, env: BatchEnv) -> Judge:
    """Returns what finds the optimal actions in a training env, for a loss that learns from them."""
    game = solver_of(env)
    assert game is not None
    return loss.judge(game)


def build_trainer(config: DictConfig, spec: RolloutSpec, callbacks: Sequence[L.Callback], folder: Path) -> L.Trainer:
    """Builds Lightning's trainer, which writes checkpoints whole or not at all."""
    trainer: L.Trainer = build_a(
        L.Trainer,
        config.trainer,
        "trainer",
        max_steps=spec.optimizer_steps,
        max_epochs=-1,
        logger=False,
        callbacks=list(callbacks),
        default_root_dir=folder,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    trainer.strategy.checkpoint_io = AtomicCheckpointIO()
    return trainer


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
    callbacks = []
    for name, node in config.callbacks.items():
        if node is not None:
            callback: L.Callback = build_a(L.Callback, node, f"callbacks.{name}")
            if (check := getattr(callback, "check", None)) is not None:
                with errors_under(f"callbacks.{name}"):
                    check(policy, str(config.env.id))
            callbacks.append(callback)
    return callbacks


def check_optimization(agent: Agent, algo: DictConfig) -> None:
    """Checks that optimizer and schedule can be built. Lightning would raise only after the run has started.

    Raises:
        UserError: one of them cannot be built, or is not a torch optimizer or schedule.
    """
    built: Any = agent.parameters()
    for name, make, kind in (
        ("optimizer", agent.make_optimizer, Optimizer),
        ("schedule", agent.make_schedule, LRScheduler),
    ):
        if make is not None:
            try:
                built = make(built)
            except Exception as error:
                raise UserError(f"algo.{name}: {described(error) if own_frames(error) else error}") from error
            if not isinstance(built, kind):
                allowed = f"the import path of a torch {kind.__name__}"
                raise ConfigError(f"algo.{name}._target_", algo[name]._target_, allowed)

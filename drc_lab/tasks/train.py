"""task=train: a policy learns in an env; the run's record gets the curve and the checkpoints."""

import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import lightning as L
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig, OmegaConf

from drc_lab.arguments import check_types, errors_under, from_mapping
from drc_lab.config import build, build_policy, make_env, plain
from drc_lab.envs.interface import BatchEnv
from drc_lab.errors import ConfigError, UserError
from drc_lab.learning.agent import Agent
from drc_lab.learning.checkpoints import read_checkpoint
from drc_lab.learning.data import RolloutData
from drc_lab.learning.held_out import HeldOutEvaluation
from drc_lab.learning.metrics import TrainingMetrics
from drc_lab.learning.progress import TrainingProgress
from drc_lab.learning.rollout_spec import RolloutSpec
from drc_lab.learning.stop import GracefulStop
from drc_lab.tasks.held_out import check_fits, evaluation_spec, held_out_env, size_key
from drc_lab.tasks.record import default_name, log_held_out, run_tags
from drc_lab.tasks.start import console, say, start
from drc_lab.tracking.datasets import log_levels
from drc_lab.tracking.mlflow import flatten
from drc_lab.tracking.run import Run, tracked_run
from drc_lab.tracking.spec import TrackingSpec
from drc_lab.tracking.system import system_metrics


class Stopped(KeyboardInterrupt):
    """Ended early on request; the message says how to go on."""


@dataclass
class Training:
    """Everything a fit needs, built and checked before anything is written."""

    agent: Agent
    data: RolloutData
    trainer: L.Trainer
    evaluation: HeldOutEvaluation
    stop: GracefulStop
    resume: str | None
    env: BatchEnv  # a copy of what the policy is trained in


def main(config: DictConfig, folder: Path) -> None:
    """Trains, and says where the best checkpoint is."""
    training = prepare(config, folder)
    with start_run(config, folder) as run:
        best = fit(training, run)
    console.print(f"checkpoint {best}", soft_wrap=True)


def prepare(config: DictConfig, folder: Path) -> Training:
    """Builds envs, policy, loss, rollouts and trainer; every mistake in the config shows here."""
    start(config)
    if config.resume is not None:
        check_same_training(config)
    spec: RolloutSpec = build(config.algo.rollouts, "algo.rollouts")
    env = make_env(config.env, num_envs=1)
    policy = build_policy(config.policy, env)
    loss, optimizer = build(config.algo.loss, "algo.loss"), build(config.algo.optimizer, "algo.optimizer")
    schedule = None if config.algo.schedule is None else build(config.algo.schedule, "algo.schedule")
    penalty = check_types(Agent, {"head_l2_coef": config.algo.head_l2_coef}, "algo")
    every = check_types(TrainingMetrics, {"log_every_rollouts": config.algo.log_every_rollouts}, "algo")
    with errors_under("algo"):
        agent = Agent(policy, loss, optimizer, spec, schedule, config=plain(config), **penalty)
        metrics = TrainingMetrics(**every)
    check_optimization(agent)
    data = RolloutData(spec, partial(make_env, config.env, copy=False), policy, config.seed, loss.uses_behaviour_values)

    # Evaluations and checkpoints fall on the ends of rollouts: only there is a run's state small and whole.
    held_out = evaluation_spec(config)
    steps = max(1, round(held_out.every_frames / spec.frames_per_rollout)) * spec.optimizer_steps_per_rollout
    checkpoints = folder / "checkpoints"
    stop = GracefulStop(checkpoints / "last.ckpt")
    levels = held_out_env(config, held_out.split)
    check_fits(policy, int(env.single_action_space.n), levels, size_key(config))
    evaluation = HeldOutEvaluation(levels, steps, checkpoints / "best.ckpt", stop)
    keep_last = ModelCheckpoint(checkpoints, "last", every_n_train_steps=steps, enable_version_counter=False)
    trainer: L.Trainer = build(
        config.trainer, "trainer", max_steps=spec.optimizer_steps, max_epochs=-1, logger=False,
        callbacks=[metrics, evaluation, TrainingProgress(console), stop, keep_last], default_root_dir=folder,
        num_sanity_val_steps=0, enable_progress_bar=False, enable_model_summary=False, log_every_n_steps=1,
    )  # fmt: skip
    for key in ("world_size", "accumulate_grad_batches"):
        if getattr(trainer, key) != 1:
            raise ConfigError(f"trainer ({key})", getattr(trainer, key), "1")
    return Training(agent, data, trainer, evaluation, stop, None if config.resume is None else str(config.resume), env)


def check_optimization(agent: Agent) -> None:
    """Lightning would find out only after the run has begun."""
    key = "algo.optimizer"
    try:
        optimizer = agent.make_optimizer(agent.policy.parameters())
        key = "algo.schedule"
        if agent.make_schedule is not None:
            agent.make_schedule(optimizer)
    except (TypeError, ValueError) as error:
        raise UserError(f"{key}: {error}") from error


def fit(training: Training, run: Run) -> Path:
    """Runs the trainer. Returns the checkpoint that was best on held-out levels.

    Raises:
        Stopped: on Ctrl-C or SIGTERM, with a checkpoint written.
    """
    trainer, last = training.trainer, training.stop.checkpoint
    trainer.loggers = [run.logger]
    config = training.agent.config
    log_levels(run, "train", training.env, config["env"])
    log_held_out(run, "valid", training.evaluation.env, config)
    if training.agent.policy.note:
        console.print(training.agent.policy.note, soft_wrap=True)
    try:
        trainer.fit(training.agent, datamodule=training.data, ckpt_path=training.resume, weights_only=True)
    except SystemExit as error:  # what Lightning makes of a second Ctrl-C
        raise KeyboardInterrupt from error
    if not training.stop.saved:
        trainer.save_checkpoint(last)
    best = Path(training.evaluation.best_path)
    best = best if best.is_file() else last  # resumed, and the folder of the first part is gone
    for path in {last, best}:
        run.log_artifact(path, "checkpoints")
    if training.stop.signal is not None:
        frames, command = training.agent.frames, resume_command(last)
        raise Stopped(f"{training.stop.signal} after {frames:,} frames. Go on with:  {command}")
    # MLflow's table of runs shows last values: sorted by these, it compares whole trainings.
    last_seen = {k.split("/")[1]: float(v) for k, v in trainer.callback_metrics.items() if k.startswith("valid/")}
    frames = training.agent.frames
    run.log_metrics({f"final/{name}": value for name, value in last_seen.items()} | {"final/frames": frames}, frames)
    return best


def check_same_training(config: DictConfig) -> None:
    """A run is resumed with the settings it began with, or its state would not fit or, worse, fit and mislead.

    Raises:
        ConfigError: naming the first key that differs from the checkpoint's config.
    """
    before, now = flatten(read_checkpoint(config.resume)["config"]), flatten(plain(config))
    for key in sorted(before | now):
        group = key.split(".")[0]
        if group in ("env", "policy", "algo", "seed") and before.get(key) != now.get(key):
            raise ConfigError(
                key, now.get(key), f"{before.get(key)!r}, as in the run that resume={config.resume} began"
            )


@contextmanager
def start_run(config: DictConfig, folder: Path) -> Iterator[Run]:
    """The recorded run of this training, with the config in it and in ``folder/config.yaml``."""
    tags = run_tags(config)
    spec = from_mapping(TrackingSpec, plain(config).get("tracking", {}), "tracking")
    resume = config.resume is not None
    name = str(config.name or default_name(config))
    with (
        tracked_run(spec, folder, config.study, name, tags, resume, say) as run,
        system_metrics(run, spec.system_metrics_seconds),
    ):
        path = folder / "config.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(config, path, resolve=True)
        run.log_config(plain(config), path)
        yield run


def resume_command(checkpoint: Path) -> str:
    """The command that goes on from a checkpoint, with the overrides of this one."""
    overrides = [o for o in HydraConfig.get().overrides.task if not o.startswith("resume=")]
    python, path = Path(sys.executable), str(checkpoint)
    python = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    quoted = path if re.fullmatch(r"[\w./-]+", path) else f"'{path}'"  # for Hydra's grammar
    return shlex.join([str(python), "-m", "drc_lab", *overrides, f"resume={quoted}"])

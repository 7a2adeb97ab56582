"""task=train: a policy learns in an env; MLflow gets the curve and the checkpoints."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import lightning as L
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from drc_lab.config import build, build_policy, make_env, user_errors_under
from drc_lab.envs.levels import split_index
from drc_lab.errors import ConfigError
from drc_lab.evaluation.evaluator import Thinking
from drc_lab.learning.agent import Agent
from drc_lab.learning.callbacks import GracefulStop, HeldOutEvaluation, TrainingProgress
from drc_lab.learning.checkpoints import read_checkpoint
from drc_lab.learning.data import RolloutData
from drc_lab.learning.rollouts import RolloutSpec
from drc_lab.process import quieten_libraries, reuse_freed_memory, use_threads
from drc_lab.tracking.mlflow import Run, RunLogger, tracked_run

console = Console()


class Stopped(KeyboardInterrupt):
    """Training ended early on request; the message says how to go on."""


@dataclass
class Training:
    """Everything a fit needs, built and checked before anything is written."""

    agent: Agent
    data: RolloutData
    trainer: L.Trainer
    stop: GracefulStop
    keep_best: ModelCheckpoint
    resume: str | None


def main(config: DictConfig, folder: Path) -> None:
    """Trains, and says where the best checkpoint is."""
    training = prepare(config, folder)
    with start_run(config, folder) as (run, logger):
        best = fit(training, run, logger)
    console.print(f"checkpoint {best}", soft_wrap=True)


def prepare(config: DictConfig, folder: Path, extra: Sequence[L.Callback] = ()) -> Training:
    """Builds envs, policy, loss, rollouts and trainer; every mistake in the config shows here."""
    use_threads(config.threads)
    reuse_freed_memory()
    quieten_libraries()
    L.seed_everything(config.seed, verbose=False)
    if config.resume is not None:
        read_checkpoint(config.resume)
    spec: RolloutSpec = build(config.algo.rollouts, "algo.rollouts")
    policy = build_policy(config.policy, make_env(config.env, num_envs=1))
    loss = build(config.algo.loss, "algo.loss")
    optimizer = build(config.algo.optimizer, "algo.optimizer")
    algo = config.algo
    agent = Agent(policy, loss, optimizer, spec, algo.lr_final_fraction, plain(config), algo.log_every_rollouts)
    data = RolloutData(spec, lambda: make_env(config.env, spec.num_envs, copy=False), policy, config.seed)

    # Checkpoints and evaluations fall on the ends of rollouts: only there is a run's state small and whole.
    every = max(1, round(config.evaluation.every_frames / spec.frames_per_rollout)) * spec.optimizer_steps_per_rollout
    where = {"dirpath": folder / "checkpoints", "every_n_train_steps": every, "enable_version_counter": False}
    keep_best = ModelCheckpoint(filename="best", monitor="valid/solve_rate", mode="max", **where)
    stop = GracefulStop(folder / "checkpoints" / "last.ckpt")
    callbacks = [HeldOutEvaluation(held_out_env(config), every), TrainingProgress(console), stop, keep_best,
                 ModelCheckpoint(filename="last", **where), *extra]  # fmt: skip
    trainer = build(
        config.trainer, "trainer", max_steps=spec.optimizer_steps, max_epochs=-1, callbacks=callbacks, logger=False,
        default_root_dir=folder, num_sanity_val_steps=0, enable_progress_bar=False, enable_model_summary=False,
        log_every_n_steps=1,
    )  # fmt: skip
    return Training(agent, data, trainer, stop, keep_best, None if config.resume is None else str(config.resume))


def fit(training: Training, run: Run, logger: RunLogger) -> Path:
    """Runs the trainer. Returns the checkpoint that was best on held-out levels, or the last if none was evaluated.

    Raises:
        Stopped: on Ctrl-C or SIGTERM, with a checkpoint written.
    """
    trainer, last = training.trainer, training.stop.checkpoint
    trainer.loggers = [logger]
    trainer.fit(training.agent, datamodule=training.data, ckpt_path=training.resume, weights_only=True)
    if not training.stop.saved:
        trainer.save_checkpoint(last)
    best = Path(training.keep_best.best_model_path or last)
    for path in {last, best}:
        run.log_artifact(path, "checkpoints")
    if training.stop.signal is not None:
        frames, command = training.agent.frames, resume_command(last)
        raise Stopped(f"{training.stop.signal} after {frames:,} frames. Go on with:  {command}")
    return best


def held_out_env(config: DictConfig) -> gym.vector.VectorEnv:
    """A batch env that holds each level of the held-out set once."""
    e = config.evaluation
    with user_errors_under("evaluation"):
        split_index(e.split)
        for passes in e.first_passes:
            Thinking(first_passes=passes)
        for repeats in e.repeats or []:
            Thinking(repeats=repeats)
        if e.num_levels < 1:
            raise ConfigError("num_levels", e.num_levels, "at least 1")
    if config.env.get("layout") is None and config.env.get("board") is None:
        return make_env(config.env, e.num_levels, copy=False, split=e.split, num_levels=e.num_levels,
                        level_seed=e.level_seed, order="sequential")  # fmt: skip
    levels = make_env(config.env, num_envs=1).levels.levels
    return make_env(config.env, len(levels), copy=False, order="sequential")


def plain(config: DictConfig) -> dict[str, Any]:
    """The resolved config as dicts, lists and scalars."""
    container = OmegaConf.to_container(config, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


@contextmanager
def start_run(config: DictConfig, folder: Path) -> Iterator[tuple[Run, RunLogger]]:
    """The MLflow run of this training, with the config in it and in ``folder/config.yaml``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    OmegaConf.save(config, path, resolve=True)
    tags = {"task": config.task, "env": config.env.id, "policy": config.policy._target_, "seed": str(config.seed)}
    with tracked_run(config.tracking.uri, config.tracking.artifacts, config.study, config.name, tags) as (run, logger):
        run.log_config(plain(config), path)
        yield run, logger


def resume_command(checkpoint: Path) -> str:
    """The command that goes on from a checkpoint, with the overrides of this one."""
    overrides = [o for o in HydraConfig.get().overrides.task if not o.startswith("resume=")]
    command = [Path(sys.executable).name, "-m", "drc_lab", *overrides, f"resume={checkpoint}"]
    return shlex.join(command)

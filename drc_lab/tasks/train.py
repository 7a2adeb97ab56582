"""task=train: a policy learns in an env; MLflow gets the curve and the checkpoints."""

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.callbacks import ModelCheckpoint
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from drc_lab.config import build, build_policy, make_env
from drc_lab.errors import ConfigError
from drc_lab.learning.agent import Agent
from drc_lab.learning.callbacks import GracefulStop, HeldOutEvaluation, TrainingProgress
from drc_lab.learning.checkpoints import read_checkpoint
from drc_lab.learning.data import RolloutData
from drc_lab.learning.rollouts import RolloutSpec
from drc_lab.tracking.mlflow import Run, RunLogger, tracked_run

console = Console()


class Stopped(KeyboardInterrupt):
    """Training ended early on request; the message says how to go on."""


@dataclass
class Training:
    """Everything a fit needs, built and checked before anything is written."""

    config: DictConfig
    agent: Agent
    data: RolloutData
    spec: RolloutSpec


def main(config: DictConfig, folder: Path) -> None:
    """Trains, and says where the checkpoints are."""
    training = prepare(config)
    with start_run(config, folder) as (run, logger):
        best = fit(training, folder, run, logger)
    console.print(f"[green]done[/green]  best checkpoint {best}")


def prepare(config: DictConfig) -> Training:
    """Builds env, policy, loss and rollouts; every mistake in the config shows here."""
    use_threads(config.threads)
    L.seed_everything(config.seed, verbose=False)
    if config.resume is not None:
        read_checkpoint(config.resume)
    spec: RolloutSpec = build(config.algo.rollouts, "algo.rollouts")
    if config.evaluation.num_levels < 1:
        raise ConfigError("evaluation.num_levels", config.evaluation.num_levels, "at least 1")
    policy = build_policy(config.policy, make_env(config.env, num_envs=1))
    loss = build(config.algo.loss, "algo.loss")
    optimizer = build(config.algo.optimizer, "algo.optimizer")
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    plain = {str(k): v for k, v in plain.items()}
    agent = Agent(policy, loss, optimizer, spec, config.algo.lr_final_fraction, plain, config.algo.log_every_rollouts)
    data = RolloutData(spec, lambda: make_env(config.env, spec.num_envs, copy=False), policy, config.seed)
    return Training(config, agent, data, spec)


def fit(training: Training, folder: Path, run: Run, logger: RunLogger, extra: list[L.Callback] | None = None) -> Path:
    """Runs the trainer. Returns the checkpoint that was best on held-out levels, or the last if none was evaluated.

    Raises:
        Stopped: on Ctrl-C or SIGTERM, with a checkpoint written.
    """
    config, spec = training.config, training.spec
    checkpoints = folder / "checkpoints"
    last = checkpoints / "last.ckpt"
    per_rollout = spec.optimizer_steps_per_rollout
    every = max(1, round(config.evaluation.every_frames / spec.frames_per_rollout)) * per_rollout
    stop = GracefulStop(last)
    keep_best = ModelCheckpoint(checkpoints, "best", monitor="valid/solve_rate", mode="max", every_n_train_steps=every,
                                enable_version_counter=False)  # fmt: skip
    keep_last = ModelCheckpoint(checkpoints, "last", every_n_train_steps=every, enable_version_counter=False)
    evaluation = HeldOutEvaluation(lambda: held_out_env(config), every)
    trainer: L.Trainer = build(
        config.trainer, "trainer", logger=logger, max_steps=len_of(spec), max_epochs=-1, default_root_dir=folder,
        callbacks=[evaluation, TrainingProgress(), stop, keep_best, keep_last, *(extra or [])],
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, log_every_n_steps=10**9,
    )  # fmt: skip
    resume = None if config.resume is None else str(config.resume)
    trainer.fit(training.agent, datamodule=training.data, ckpt_path=resume)
    if stop.stopped is None:
        trainer.save_checkpoint(last)
    best = Path(keep_best.best_model_path) if keep_best.best_model_path else last
    for path in {last, best}:
        run.log_artifact(path, "checkpoints")
    if stop.stopped is not None:
        raise Stopped(f"{stop.stopped} after {training.agent.frames:,} frames. Go on with:  {resume_command(last)}")
    return best


def len_of(spec: RolloutSpec) -> int:
    """Optimizer steps of the whole training."""
    return spec.rollouts * spec.optimizer_steps_per_rollout


def held_out_env(config: DictConfig) -> Any:
    """A batch env that holds each level of the held-out set once."""
    e = config.evaluation
    more: dict[str, Any] = {"copy": False}
    if config.env.get("layout") is None and config.env.get("board") is None:
        more |= {"split": e.split, "num_levels": e.num_levels, "level_seed": e.level_seed, "order": "sequential"}
        return make_env(config.env, num_envs=e.num_levels, **more)
    probe = make_env(config.env, num_envs=1)
    return make_env(config.env, num_envs=len(probe.levels.levels), order="sequential", **more)


def start_run(config: DictConfig, folder: Path):
    """The MLflow run of this training, with the config in it and in ``folder/config.yaml``."""
    from contextlib import contextmanager

    @contextmanager
    def started():
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "config.yaml"
        OmegaConf.save(config, path, resolve=True)
        tags = {"task": config.task, "env": config.env.id, "policy": config.policy._target_, "seed": str(config.seed)}
        with tracked_run(config.tracking.uri, config.tracking.artifacts, config.study, config.name, tags) as (run, log):
            run.log_config(OmegaConf.to_container(config, resolve=True), path)
            yield run, log

    return started()


def use_threads(threads: int | None) -> None:
    """Sets torch's threads explicitly: its own guess counts cores that this process may not use."""
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))


def resume_command(checkpoint: Path) -> str:
    """The command that goes on from a checkpoint, with the overrides of this one."""
    overrides = [o for o in HydraConfig.get().overrides.task if not o.startswith("resume=")]
    command = [Path(sys.executable).name, "-m", "drc_lab", *overrides, f"resume={checkpoint}"]
    return shlex.join(command)

"""task=benchmark: which share of a training's wall time is spent inside the policy's forward and backward."""

import csv
from pathlib import Path

import torch
from omegaconf import DictConfig
from rich.table import Table

from drc_lab.errors import ConfigError
from drc_lab.learning.timing import TimeShares
from drc_lab.process import machine_name
from drc_lab.tasks.start import console
from drc_lab.tasks.train import fit, prepare, start_run, tell_finished


def main(config: DictConfig, folder: Path) -> None:
    """Trains for ``algo.rollouts.frames`` as ever (rollouts, Lightning, logging, evaluation, checkpoints), timed."""
    training = prepare(config, folder)
    if training.beginning.finished:
        tell_finished(training.beginning)
        return
    folder = training.beginning.folder
    timer = TimeShares(training.evaluation)
    training.trainer.callbacks.append(timer)  # type: ignore[attr-defined]
    spec = training.agent.spec
    if spec.rollouts <= timer.skip_rollouts:
        least = (timer.skip_rollouts + 1) * spec.frames_per_rollout
        raise ConfigError("algo.rollouts.frames", spec.frames, f"{least} or more in a benchmark")
    with start_run(config, training.beginning) as run:
        fit(training, run)
        shares, speed = timer.shares(), timer.frames / timer.seconds["total"]
        run.log_metrics({f"time/{k}_share": v for k, v in shares.items()} | {"time/frames_per_second": speed},
                        training.agent.frames)  # fmt: skip
        path = folder / "benchmark.csv"
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["part", "share"])
            writer.writerows((name, round(share, 4)) for name, share in shares.items())
        run.log_artifact(path)
    table = Table(title="Wall time of training", caption=f"{machine_name()}, "
                  f"{torch.get_num_threads()} torch threads, {timer.frames:,} frames, seed {config.seed}")  # fmt: skip
    table.add_column("part")
    table.add_column("share", justify="right")
    names = {"act": "policy forward, acting", "forward": "policy forward, learning", "backward": "backward",
             "evaluation": "held-out evaluation"}  # fmt: skip
    for part, name in names.items():
        table.add_row(name, f"{shares[part]:.1%}")
    rest = 1 - shares["policy"] - shares["evaluation"]
    table.add_row("env, optimizer, Lightning, logging", f"{rest:.1%}", end_section=True)
    table.add_row("[bold]inside the policy[/bold]", f"[bold]{shares['policy']:.1%}[/bold]")
    table.add_row("frames/s", f"{speed:,.0f}")
    console.print(table)

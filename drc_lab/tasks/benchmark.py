"""task=benchmark: the speed of trainings in frames per second, and the share of time that their policies take.

python -m drc_lab task=benchmark
"""

from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig

from drc_lab.app.settings import Settings
from drc_lab.app.training import prepare
from drc_lab.errors import ConfigError
from drc_lab.learning.timing import TimeShares
from drc_lab.process import machine_name
from drc_lab.speed.timing import report, rounded
from drc_lab.speed.trainings import trainings
from drc_lab.tasks.train import fit, start_run

PARTS = ("act", "forward", "backward", "evaluation", "outside")


def main(settings: Settings, folder: Path) -> None:
    """Times each training with everything on (Lightning, logging, evaluation, checkpoints); writes benchmark.csv."""
    config, wanted = settings.config, trainings(settings, HydraConfig.get().overrides.task)
    rows = [(name, *time_training(each, folder / name)) for name, each in wanted]
    machine = machine_name("cuda" if torch.cuda.is_available() and config.trainer.accelerator != "cpu" else "cpu")
    caption = f"shares of wall time; {machine}, {torch.get_num_threads()} torch threads, seed {config.seed}"
    report("Wall time of training", ("training", "frames/s", *PARTS), rows, folder / "benchmark.csv", caption)


def time_training(settings: Settings, folder: Path) -> list[float]:
    """Trains and returns frames per second, then the share of wall time of each of `PARTS`."""
    training = prepare(settings, folder)
    if training.trainer.world_size > 1:
        raise ConfigError("trainer.devices", training.trainer.world_size, "1 in a benchmark")
    timer = TimeShares()
    training.trainer.profiler = timer.profiler  # type: ignore[attr-defined]
    training.trainer.callbacks.append(timer)  # type: ignore[attr-defined]
    spec = training.agent.spec
    if spec.rollouts <= timer.skip_rollouts:
        least = (timer.skip_rollouts + 1) * spec.frames_per_rollout
        raise ConfigError("algo.rollouts.frames", spec.frames, f"{least} or more in a benchmark")
    with start_run(settings, training.beginning) as run:
        fit(training, run)
        shares, speed = timer.shares(), timer.frames_per_second
        metrics = {f"time/{part}_share": share for part, share in shares.items()}
        run.log_metrics(metrics | {"time/frames_per_second": speed}, training.agent.frames)
    return [rounded(speed), *(rounded(shares[part]) for part in PARTS)]

"""Torch's learning-rate schedules with their lengths in env frames."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from drc_lab.learning.specs import schedule_lengths

Schedule = Callable[[Optimizer], LRScheduler]


def in_optimizer_steps(schedule: Schedule, frames_per_step: float) -> Schedule:
    """Converts a schedule's lengths from env frames to optimizer steps, which torch counts.

    Args:
        schedule: a partial of one of torch's schedules, which lacks only the optimizer; others are returned unchanged.
        frames_per_step: env frames per optimizer step.

    Raises:
        ConfigError: a length below 1.
    """
    if not isinstance(schedule, partial):
        return schedule
    lengths = schedule_lengths(schedule.keywords)
    return partial(schedule, **{name: _steps(frames, frames_per_step) for name, frames in lengths.items()})


def _steps(frames: Any, frames_per_step: float) -> Any:
    if isinstance(frames, list | tuple):
        return [_steps(each, frames_per_step) for each in frames]
    return max(1, round(frames / frames_per_step))

"""Torch's learning-rate schedules with their lengths in env frames."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LambdaLR, LRScheduler, OneCycleLR

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


def step_to(schedule: LRScheduler, step: int) -> None:
    """Advances a schedule to a later step.

    Where its rate follows from the number of the step alone, this takes one call: a training of 2e9 frames that a time
    limit ends has millions of steps to skip. Other schedules take every step.
    """
    if hasattr(schedule, "_get_closed_form_lr") or isinstance(schedule, CyclicLR | LambdaLR | OneCycleLR):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch calls the argument deprecated, as not all can use it
            schedule.step(step)
        return
    for _ in range(step - schedule.last_epoch):
        schedule.step()


def _steps(frames: Any, frames_per_step: float) -> Any:
    if isinstance(frames, list | tuple):
        return [_steps(each, frames_per_step) for each in frames]
    return max(1, round(frames / frames_per_step))

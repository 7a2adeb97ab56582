"""How much a policy thinks beyond its own amount, in the form that the evaluator takes. Light to import."""

from dataclasses import dataclass

import numpy as np

PerLevel = int | np.ndarray  # one number for all levels, or int64 [N], one per level


@dataclass(frozen=True)
class Thinking:
    """How much a policy thinks beyond its own amount, and when.

    Args:
        first_passes: extra passes on the first observation, before the first action. The env stands still, so they do
            not count towards the step limit.
        passes: extra passes before step ``at``.
        noops: number of steps, from step ``at`` on, in which the env gets the no-op while the policy keeps observing.
            They count towards the step limit.
        at: the step of the episode (0 is the first) at which ``passes`` and ``noops`` start; -1 for never.
        repeats: ticks of every forward pass; None for the policy's own number.
        pass_ticks: ticks of an extra pass; None for the same as ``repeats``.
        agree: threshold in nats: extra passes on a level stop early once the KL divergence between the policy after a
            pass and after the previous pass is below it. The numbers of passes above are then upper limits.
        every_step: whether ``passes`` are made before every step, and not only before step ``at``.
        drawn: mean of a random number of further passes before every step. It has a geometric distribution, whose mode
            is 0, and depends on the seed, the level's place in the batch, and the step.
    """

    first_passes: PerLevel = 0
    noops: PerLevel = 0
    passes: PerLevel = 0
    at: PerLevel = 0
    repeats: int | None = None
    pass_ticks: int | None = None
    agree: float | None = None
    every_step: bool = False
    drawn: float = 0.0

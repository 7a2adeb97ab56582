"""Thinking where the first cycle of the baseline policy begins on each level, in place of it."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from drc_lab.evaluation.kinds.kind import Kind, Words
from drc_lab.evaluation.play.thinking import Thinking

if TYPE_CHECKING:
    from drc_lab.evaluation.play.played import Played

AXIS = "thinking in cycles, × their length"  # of both kinds, which share a picture


@dataclass(frozen=True)
class CyclePasses(Kind):
    """Extra passes; amounts are multiples of the cycle's length."""

    amounts: list[float] = field(default_factory=list)

    words = Words(
        "cycle passes",
        AXIS,
        "extra passes in cycles, {} times their length",
        "extra passes in cycles, as long as they are",
    )
    follows_baseline = True

    def thinking(self, amount: float, baseline: "Played | None") -> Thinking:
        start, steps = in_place_of_cycles(amount, baseline)
        return Thinking(passes=steps, at=start)


@dataclass(frozen=True)
class CycleNoops(Kind):
    """No-ops; amounts are multiples of the cycle's length."""

    amounts: list[float] = field(default_factory=list)

    words = Words(
        "cycle no-ops", AXIS, "no-ops in cycles, {} times their length", "no-ops in cycles, as long as they are"
    )
    needs = ("noop",)
    follows_baseline = True

    def thinking(self, amount: float, baseline: "Played | None") -> Thinking:
        start, steps = in_place_of_cycles(amount, baseline)
        return Thinking(noops=steps, at=start)


def in_place_of_cycles(amount: float, baseline: "Played | None") -> tuple[np.ndarray, np.ndarray]:
    """The step at which each level's first cycle begins, and how many passes or no-ops to make there: int64 [N] each.

    Both come from the columns of `drc_lab.evaluation.watchers.cycles.Cycles`: the start is -1 and the length 0 on
    levels without a cycle, so that nothing is added there.
    """
    assert baseline is not None
    return baseline.columns["cycle_start"], waits_of(amount, baseline.columns["cycle_length"])


def waits_of(amount: float, length: np.ndarray) -> np.ndarray:
    """Number of passes or no-ops in place of cycles of that length: ``amount`` times as many, rounded up, int64 [N]."""
    return np.ceil(amount * length).astype(np.int64)


CYCLE_PASSES, CYCLE_NOOPS = CyclePasses().label, CycleNoops().label

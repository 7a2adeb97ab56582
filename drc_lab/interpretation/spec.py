"""The arguments of task=probe, checked. Light to import."""

from collections.abc import Sequence
from dataclasses import dataclass

from drc_lab.errors import ConfigError
from drc_lab.rules import all_at_least, at_least, one_of

RECORDED_AS = ("float32", "float16")


@dataclass(frozen=True)
class ProbeSpec:
    """What is recorded, and what is looked for in it.

    Args:
        names: of what is read, see `drc_lab.interpretation.hooks`.
        labels: what is looked for; None is all that the game has.
        levels: how many of the held-out levels are played; all numbers are about levels, and so are the splits.
        kernels: sides of the square of cells that a probe reads around its own; odd.
        passes: extra passes on the first observation, for how a plan is refined.
        train_share: of the levels, on which probes are fitted.
        max_rows: that a probe is fitted to, drawn from those of its levels.
        l2: weight of the squared weights, see `drc_lab.interpretation.probes.fit_classes`.
        unsolved: whether episodes that were cut off count: what an agent would have done next is not known there.
        dtype: of what is kept, float32 or float16.
        seed: of the split, of what is drawn, and of the control without training.
    """

    names: Sequence[str] = ("*.*.h", "*.*.c")
    labels: Sequence[str] | None = None
    levels: int = 500
    kernels: Sequence[int] = (1, 3)
    passes: int = 6
    train_share: float = 0.7
    max_rows: int = 40_000
    l2: float = 1.0
    unsolved: bool = False
    dtype: str = "float32"
    seed: int = 0

    def __post_init__(self) -> None:
        all_at_least(self, 20, "levels", "max_rows")
        all_at_least(self, 0, "passes", "l2", "seed")
        one_of("dtype", self.dtype, RECORDED_AS)
        if not self.names:
            raise ConfigError("names", list(self.names), "at least one")
        at_least("kernels", self.kernels, 1)
        for kernel in self.kernels:
            if kernel % 2 == 0:
                raise ConfigError("kernels", kernel, "odd numbers")
        if not 0.1 <= self.train_share <= 0.9:
            raise ConfigError("train_share", self.train_share, "0.1 to 0.9")

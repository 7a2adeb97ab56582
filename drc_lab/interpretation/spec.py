"""The arguments of task=probe, task=steer and task=saliency, checked. Light to import."""

from collections.abc import Sequence
from dataclasses import dataclass

from drc_lab.errors import ConfigError
from drc_lab.rules import all_at_least, at_least, one_of

RECORDED_AS = ("float32", "float16")
ABLATIONS = ("zero", "mean", "resample")
ATTRIBUTIONS = ("gradient", "integrated", "occlusion")
ATTRIBUTED = ("action", "value")


@dataclass(frozen=True)
class ProbeSpec:
    """What is recorded, and what is looked for in it.

    Args:
        names: of what is read, see `drc_lab.interpretation.hooks`; None is all hidden and cell states.
        labels: what is looked for; None is all that the game has.
        levels: how many of the held-out levels are played; all numbers are about levels, and so are the splits.
        kernels: sides of the square of cells that a probe reads around its own; odd.
        passes: extra passes on the first observation, for how a plan is refined.
        train_share: of the levels, on which probes are fitted.
        max_rows: that a probe is fitted to, drawn from those of its levels.
        l2: weight of the squared weights, see `drc_lab.interpretation.probes.linear.fit_classes`.
        unsolved: whether episodes that were cut off count: what an agent would have done next is not known there.
        dtype: of what is kept, float32 or float16.
        features: of a dictionary of the last layer's cell state, see `drc_lab.interpretation.dictionary`; 0 for none.
        active: of them at a time.
        video_levels: how many levels, of those that no probe is fitted to, are shown in a video; 0 for none.
        seed: of the split, of what is drawn, and of the control without training.
    """

    names: Sequence[str] | None = None
    labels: Sequence[str] | None = None
    levels: int = 500
    kernels: Sequence[int] = (1, 3)
    passes: int = 6
    train_share: float = 0.7
    max_rows: int = 40_000
    l2: float = 1.0
    unsolved: bool = False
    dtype: str = "float32"
    features: int = 64
    active: int = 4
    video_levels: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        all_at_least(self, 20, "levels", "max_rows")
        all_at_least(self, 0, "passes", "l2", "features", "video_levels", "seed")
        if self.features and not 1 <= self.active <= self.features:
            raise ConfigError("active", self.active, f"1 to {self.features}, the number of features")
        for key in ("names", "labels", "kernels"):
            if (found := getattr(self, key)) is not None and not found:
                raise ConfigError(key, list(found), "at least one")
        one_of("dtype", self.dtype, RECORDED_AS)
        at_least("kernels", self.kernels, 1)
        for kernel in self.kernels:
            if kernel % 2 == 0:
                raise ConfigError("kernels", kernel, "odd numbers")
        if not 0.1 <= self.train_share <= 0.9:
            raise ConfigError("train_share", self.train_share, "0.1 to 0.9")


@dataclass(frozen=True)
class ProbeCurvesSpec:
    """Arguments of `drc_lab.interpretation.probes.live.ProbeCurves`.

    Args:
        every_frames: between two looks, rounded to whole rollouts, and when training ends; None never looks.
        levels: how many of the held-out levels are played, at most as many as are evaluated on.
        labels: what is looked for, those of cells; None is all that the game has.
        max_rows: that a probe is fitted to.
        seed: of the split of the levels, and of what is drawn.
    """

    every_frames: int | None = None
    levels: int = 200
    labels: Sequence[str] | None = None
    max_rows: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.every_frames is not None and self.every_frames < 1:
            raise ConfigError("every_frames", self.every_frames, "at least 1, or null")
        self.probes()

    def probes(self) -> ProbeSpec:
        """What is fitted each time."""
        return ProbeSpec(labels=self.labels, levels=self.levels, kernels=(1,), max_rows=self.max_rows, seed=self.seed)


@dataclass(frozen=True)
class SteerSpec:
    """How a policy is tested causally.

    Args:
        label: what is written into it: one that stands for a single move; None is the game's.
        alphas: what the probe's vectors are multiplied by.
        moves: of the routes that it is steered along; 1 among them.
        steered: how many of the held-out levels it is steered on, each in all symmetries of its size.
        levels: how many of them are played without channels, and patched.
        channels: how many are taken out of a layer's cell state, those that the probe reads most from; () for none.
        methods: of that: zero, mean, resample.
        draws: of as many random channels.
        patch: names of the places that are patched; () for none.
        seed: of all that is drawn.
    """

    label: str | None = None
    alphas: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0)
    moves: Sequence[int] = (1, 2, 3, 4)
    steered: int = 200
    levels: int = 1000
    channels: Sequence[int] = (1, 2, 4, 8)
    methods: Sequence[str] = ABLATIONS
    draws: int = 3
    patch: Sequence[str] = ("encoding", "*.*.h", "*.*.c", "head_input")
    seed: int = 0

    def __post_init__(self) -> None:
        all_at_least(self, 20, "steered", "levels")
        all_at_least(self, 1, "draws")
        all_at_least(self, 0, "seed")
        at_least("channels", self.channels, 1)
        at_least("moves", self.moves, 1)
        if 1 not in self.moves or len(set(self.moves)) < len(self.moves):
            raise ConfigError("moves", list(self.moves), "different numbers, 1 among them")
        for alpha in self.alphas:
            if not 0 < alpha < float("inf"):
                raise ConfigError("alphas", alpha, "numbers above 0")
        if not self.alphas:
            raise ConfigError("alphas", list(self.alphas), "at least one")
        for method in self.methods:
            one_of("methods", method, ABLATIONS)


@dataclass(frozen=True)
class SaliencySpec:
    """What attributions are made.

    Args:
        methods: gradient, integrated, occlusion, see `drc_lab.interpretation.saliency.attributions`.
        of: action, value.
        levels: how many of the held-out levels, all at once.
        seed: of the env.
    """

    methods: Sequence[str] = ATTRIBUTIONS
    of: Sequence[str] = ATTRIBUTED
    levels: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        all_at_least(self, 2, "levels")
        all_at_least(self, 0, "seed")
        for key, allowed in (("methods", ATTRIBUTIONS), ("of", ATTRIBUTED)):
            if not getattr(self, key):
                raise ConfigError(key, [], f"at least one of {' | '.join(allowed)}")
            for name in getattr(self, key):
                one_of(key, name, allowed)

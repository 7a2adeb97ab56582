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
    """What is recorded of a policy, and which probes are fitted to it.

    Args:
        names: of the tensors that probes read, see `drc_lab.interpretation.hooks`; None is all hidden and cell states.
        labels: what probes predict; None is all labels of the game.
        levels: how many held-out levels are played. Intervals and the split are over levels, not over steps.
        kernels: side lengths, odd, of the square of cells that a probe reads around the cell it predicts.
        passes: extra passes on the first observation, to measure how a plan is refined; 0 for none.
        train_share: share of the levels on which probes are fitted.
        max_rows: largest number of rows that a probe is fitted to, drawn at random from those of its levels.
        l2: weight of the squared weights, see `drc_lab.interpretation.probes.linear.fit_classes`.
        unsolved: whether unsolved episodes count. They were cut off, so what the agent would have done next is unknown.
        dtype: of the recorded tensors, float32 or float16.
        features: size of a dictionary of the last layer's cell state, see `drc_lab.interpretation.dictionary`; 0 for
            none.
        active: largest number of these features that are active at a time.
        video_levels: how many of the levels that no probe is fitted to are shown in a video; 0 for no video.
        seed: of the split, of random draws, and of the weights of the untrained control.
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
        every_frames: frames between two measurements, rounded to whole rollouts; one more follows when training ends.
            None measures nothing.
        levels: how many held-out levels are played, at most as many as are evaluated on.
        labels: what probes predict, only labels of cells; None is all of the game.
        max_rows: largest number of rows that a probe is fitted to.
        seed: of the split of the levels, and of random draws.
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
        """Returns the settings of the probes that are fitted each time."""
        return ProbeSpec(labels=self.labels, levels=self.levels, kernels=(1,), max_rows=self.max_rows, seed=self.seed)


@dataclass(frozen=True)
class SteerSpec:
    """Causal tests of a policy: steering, ablation and patching.

    Args:
        label: the label that is written into the policy's cell state, one that stands for a single move; None is the
            game's default.
        alphas: factors by which the probe's vectors are multiplied.
        moves: lengths of the routes that the policy is steered along; 1 must be among them.
        steered: how many held-out levels it is steered on, each in all symmetries of its size.
        levels: how many held-out levels are used for ablation and patching.
        channels: how many channels are ablated in a layer's cell state, those with the largest weights in the probe;
            () for no ablation.
        methods: of ablation: zero, mean, resample.
        draws: how many random sets of as many channels are ablated for comparison.
        patch: names of the places that are patched; () for none.
        seed: of all random draws.
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
    """Which attributions are computed.

    Args:
        methods: gradient, integrated, occlusion, see `drc_lab.interpretation.saliency.attributions`.
        of: the outputs that are attributed: action, value.
        levels: how many held-out levels, processed all at once.
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

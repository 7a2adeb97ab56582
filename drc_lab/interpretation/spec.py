"""The arguments of task=probe, task=steer and task=saliency, checked. Light to import."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from annotated_types import Ge, Le, MinLen

from drc_lab.arguments import Spec
from drc_lab.errors import ConfigError
from drc_lab.rules import NUMBER, NotNegative, NotNegativeReal, Odd, Positive, PositiveReal

DType = Literal["float32", "float16"]
Ablation = Literal["zero", "mean", "resample"]
Attribution = Literal["gradient", "integrated", "occlusion"]
Attributed = Literal["action", "value"]
RECORDED_AS, ABLATIONS, ATTRIBUTIONS, ATTRIBUTED = map(get_args, (DType, Ablation, Attribution, Attributed))

Names = Annotated[Sequence[str], MinLen(1)]
Sample = Annotated[int, NUMBER, Ge(20)]  # numbers of levels or rows from which something can be estimated


@dataclass(frozen=True)
class ProbeSpec(Spec):
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

    names: Names | None = None
    labels: Names | None = None
    levels: Sample = 500
    kernels: Annotated[Sequence[Odd], MinLen(1)] = (1, 3)
    passes: NotNegative = 6
    train_share: Annotated[float, NUMBER, Ge(0.1), Le(0.9)] = 0.7
    max_rows: Sample = 40_000
    l2: NotNegativeReal = 1.0
    unsolved: bool = False
    dtype: DType = "float32"
    features: NotNegative = 64
    active: NotNegative = 4
    video_levels: NotNegative = 4
    seed: NotNegative = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.features and not 1 <= self.active <= self.features:
            raise ConfigError("active", self.active, f"1 to {self.features}, the number of features")


@dataclass(frozen=True)
class ProbeCurvesSpec(Spec):
    """Arguments of `drc_lab.interpretation.probes.live.ProbeCurves`.

    Args:
        every_frames: frames between two measurements, rounded to whole rollouts; one more follows when training ends.
            None measures nothing.
        levels: how many held-out levels are played, at most as many as are evaluated on.
        labels: what probes predict, only labels of cells; None is all of the game.
        max_rows: largest number of rows that a probe is fitted to.
        seed: of the split of the levels, and of random draws.
    """

    every_frames: Positive | None = None
    levels: Sample = 200
    labels: Names | None = None
    max_rows: Sample = 20_000
    seed: NotNegative = 0

    def probes(self) -> ProbeSpec:
        """Returns the settings of the probes that are fitted each time."""
        return ProbeSpec(labels=self.labels, levels=self.levels, kernels=(1,), max_rows=self.max_rows, seed=self.seed)


@dataclass(frozen=True)
class SteerSpec(Spec):
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
    alphas: Annotated[Sequence[PositiveReal], MinLen(1)] = (0.25, 0.5, 1.0, 2.0, 4.0)
    moves: Sequence[Positive] = (1, 2, 3, 4)
    steered: Sample = 200
    levels: Sample = 1000
    channels: Sequence[Positive] = (1, 2, 4, 8)
    methods: Sequence[Ablation] = ABLATIONS
    draws: Positive = 3
    patch: Sequence[str] = ("encoding", "*.*.h", "*.*.c", "head_input")
    seed: NotNegative = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if 1 not in self.moves or len(set(self.moves)) < len(self.moves):
            raise ConfigError("moves", list(self.moves), "different numbers, 1 among them")


@dataclass(frozen=True)
class SaliencySpec(Spec):
    """Which attributions are computed.

    Args:
        methods: gradient, integrated, occlusion, see `drc_lab.interpretation.saliency.attributions`.
        of: the outputs that are attributed: action, value.
        levels: how many held-out levels, processed all at once.
        seed: of the env.
    """

    methods: Annotated[Sequence[Attribution], MinLen(1)] = ATTRIBUTIONS
    of: Annotated[Sequence[Attributed], MinLen(1), f"at least one of {' | '.join(ATTRIBUTED)}"] = ATTRIBUTED
    levels: Annotated[int, NUMBER, Ge(2)] = 200
    seed: NotNegative = 0

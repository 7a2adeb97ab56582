"""Checked forms of the config groups that belong to a single task. Light to import."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import MinLen

from drc_lab.arguments import Spec
from drc_lab.envs.specs.levels import Split
from drc_lab.models.specs import DRCSpec, check_obs_shape
from drc_lab.pictures import DEFAULT_CELL_SIZE, CellSize, Fps, check_video
from drc_lab.rules import NotNegative, Positive, PositiveReal, one_of

if TYPE_CHECKING:
    from drc_lab.models.drc import DRCPolicy


@dataclass(frozen=True)
class PlaySpec(Spec):
    """The ``play`` group of the config, checked; conf/play/default.yaml says what each key is."""

    episodes: Positive = 3
    level: NotNegative = 0
    split: Split = "test"
    greedy: bool = True
    first_passes: NotNegative = 0
    repeats: Positive | None = None
    show: Literal["terminal", "window", "none"] = "terminal"
    fps: Fps = 4
    cell_size: CellSize = DEFAULT_CELL_SIZE
    video: str | None = "play.gif"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_video(Path(self.video or "none.gif"), self.fps)


@dataclass(frozen=True)
class BenchmarkSpec(Spec):
    """What task=benchmark times.

    Args:
        trainings: the overrides of each training, by name. Overrides of the command line follow them.
        only: names of the trainings to time; None is all.
    """

    trainings: dict[str, list[str]]
    only: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.only or []:
            one_of("only", name, self.trainings)


@dataclass(frozen=True)
class SpeedSpec(Spec):
    """How task=env_speed times envs.

    Args:
        num_envs: number of boards in a batch.
        steps: steps of the batch in one timing.
        timings: how often each env is timed, in turns with the others; the median counts.
        peers: whether EnvPool and Jumanji are timed as well (extra ``bench``).
    """

    num_envs: Positive = 256
    steps: Positive = 1000
    timings: Positive = 5
    peers: bool = True


@dataclass(frozen=True)
class SearchSpec(Spec):
    """How much task=search_speed times.

    Args:
        seconds: how long each generator is timed.
        boards: how many Ricochet boards, 16x16 with four robots and of any optimal length, are solved.
        levels: how many 10x10 Sokoban levels are solved.
    """

    seconds: PositiveReal = 5.0
    boards: Positive = 2000
    levels: Positive = 200


Batches = Annotated[list[Positive], MinLen(1), "one number or more, each at least 1"]


@dataclass(frozen=True)
class PolicySpeedSpec(Spec):
    """What task=policy_speed times: a DRC with the default wiring beside a plain implementation of the same net, and
    every policy of conf/policy.

    Args:
        obs_shape, num_actions: of all policies.
        hidden_channels, num_layers, repeats_per_step: of the DRC.
        envs: batch sizes of a step without gradient; the table of policies uses the first.
        steps: number of steps T of a forward and backward pass.
        recompute_steps: of the variant of the DRC that saves memory, see `DRCSpec`.
        batches: batch sizes B of a forward and backward pass; the table of policies and the profile use the first.
        conv_batches: batch sizes of the bare convolution; the fastest counts.
        timings: how often everything is timed, in turns; the median counts.
        device: "cpu" or "cuda".
    """

    obs_shape: list[int] = field(default_factory=lambda: [3, 10, 10])
    num_actions: Positive = 4
    hidden_channels: Positive = 32
    num_layers: Positive = 3
    repeats_per_step: Positive = 3
    envs: Batches = field(default_factory=lambda: [64, 256])
    steps: Positive = 20
    recompute_steps: Positive = 4
    batches: Batches = field(default_factory=lambda: [16, 32])
    conv_batches: Batches = field(default_factory=lambda: [16, 32, 64, 128, 256])
    timings: Positive = 5
    device: Literal["cpu", "cuda"] = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        DRCSpec(check_obs_shape(tuple(self.obs_shape)), *self.sizes)

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """num_actions, hidden_channels, num_layers and repeats_per_step of the DRC."""
        return self.num_actions, self.hidden_channels, self.num_layers, self.repeats_per_step

    def drc(self, **options: Any) -> "DRCPolicy":
        """Makes the DRC with new weights on the device; ``options`` are further arguments of `DRCSpec`."""
        from drc_lab.models.check import check_number_of_weights
        from drc_lab.models.drc import DRCPolicy

        make = partial(DRCPolicy, check_obs_shape(tuple(self.obs_shape)), *self.sizes, **options)
        check_number_of_weights(make, "policy_speed")
        return make().to(self.device)


@dataclass(frozen=True)
class WeightsSpec(Spec):
    """Arguments of `drc_lab.models.published.read`, checked as far as is possible without reading the weights."""

    path: str
    board: tuple[Positive, Positive] | None = None
    num_actions: Positive | None = None
    repeats_per_step: Positive | None = None

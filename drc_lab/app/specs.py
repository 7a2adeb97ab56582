"""Checked forms of the config groups that belong to a single task. Light to import."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drc_lab.envs.specs.levels import split_index
from drc_lab.errors import ConfigError
from drc_lab.models.specs import DRCSpec, check_obs_shape
from drc_lab.pictures import check_cell_size, check_video
from drc_lab.rules import all_at_least, at_least, one_of

if TYPE_CHECKING:
    from drc_lab.models.drc import DRCPolicy


@dataclass(frozen=True)
class PlaySpec:
    """The ``play`` group of the config, checked; conf/play/default.yaml says what each key is."""

    episodes: int
    level: int
    split: str
    greedy: bool
    first_passes: int
    repeats: int | None
    show: str
    fps: float
    cell_size: int
    video: str | None

    def __post_init__(self) -> None:
        all_at_least(self, 1, "episodes")
        all_at_least(self, 0, "level")
        split_index(self.split)
        one_of("show", self.show, ("terminal", "window", "none"))
        check_cell_size(self.cell_size)
        check_video(Path(self.video or "none.gif"), self.fps)
        all_at_least(self, 0, "first_passes")
        all_at_least(self, 1, "repeats")


@dataclass(frozen=True)
class BenchmarkSpec:
    """What task=benchmark times.

    Args:
        trainings: the overrides of each training, by name. Overrides of the command line follow them.
        only: names of the trainings to time; None is all.
    """

    trainings: dict[str, list[str]]
    only: list[str] | None = None

    def __post_init__(self) -> None:
        for name in self.only or []:
            one_of("only", name, self.trainings)


@dataclass(frozen=True)
class SpeedSpec:
    """How task=env_speed times envs.

    Args:
        num_envs: number of boards in a batch.
        steps: steps of the batch in one timing.
        timings: how often each env is timed, in turns with the others; the median counts.
        peers: whether EnvPool and Jumanji are timed as well (extra ``bench``).
    """

    num_envs: int = 256
    steps: int = 1000
    timings: int = 5
    peers: bool = True

    def __post_init__(self) -> None:
        all_at_least(self, 1, "num_envs", "steps", "timings")


@dataclass(frozen=True)
class SearchSpec:
    """How much task=search_speed times.

    Args:
        seconds: how long each generator is timed.
        boards: how many Ricochet boards, 16x16 with four robots and of any optimal length, are solved.
        levels: how many 10x10 Sokoban levels are solved.
    """

    seconds: float = 5.0
    boards: int = 2000
    levels: int = 200

    def __post_init__(self) -> None:
        for key in ("seconds", "boards", "levels"):
            if getattr(self, key) <= 0:
                raise ConfigError(key, getattr(self, key), "more than 0")


@dataclass(frozen=True)
class PolicySpeedSpec:
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
    num_actions: int = 4
    hidden_channels: int = 32
    num_layers: int = 3
    repeats_per_step: int = 3
    envs: list[int] = field(default_factory=lambda: [64, 256])
    steps: int = 20
    recompute_steps: int = 4
    batches: list[int] = field(default_factory=lambda: [16, 32])
    conv_batches: list[int] = field(default_factory=lambda: [16, 32, 64, 128, 256])
    timings: int = 5
    device: str = "cpu"

    def __post_init__(self) -> None:
        all_at_least(self, 1, "steps", "recompute_steps", "timings")
        for key in ("envs", "batches", "conv_batches"):
            if not getattr(self, key) or min(getattr(self, key)) < 1:
                raise ConfigError(key, getattr(self, key), "one number or more, each at least 1")
        one_of("device", self.device, ("cpu", "cuda"))
        DRCSpec(check_obs_shape(tuple(self.obs_shape)), *self.sizes)

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """num_actions, hidden_channels, num_layers and repeats_per_step of the DRC."""
        return self.num_actions, self.hidden_channels, self.num_layers, self.repeats_per_step

    def drc(self, **options: Any) -> "DRCPolicy":
        """Makes the DRC with new weights on the device; ``options`` are further arguments of `DRCSpec`."""
        from drc_lab.models.drc import DRCPolicy

        return DRCPolicy(check_obs_shape(tuple(self.obs_shape)), *self.sizes, **options).to(self.device)


@dataclass(frozen=True)
class WeightsSpec:
    """Arguments of `drc_lab.models.published.read`, checked as far as is possible without reading the weights."""

    path: str
    board: tuple[int, int] | None = None
    num_actions: int | None = None
    repeats_per_step: int | None = None

    def __post_init__(self) -> None:
        at_least("board", self.board or (), 1)
        all_at_least(self, 1, "num_actions", "repeats_per_step")

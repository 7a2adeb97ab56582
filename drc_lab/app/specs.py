"""What the groups of the config that tasks have for themselves may be. Light to import."""

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
        trainings: the overrides of each training, by name. Those of the command come after them.
        only: names of the trainings that are wanted; None is all.
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
        num_envs: boards in a batch.
        steps: of the batch in one timing.
        timings: of each env, taken in turns; the median counts.
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
        seconds: of each generator.
        boards: of 16x16 with four robots that are solved, whatever their optimum.
        levels: of 10x10 Sokoban that are solved.
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
    """What task=policy_speed times: a DRC in the guide's wiring beside the same net written plainly, and every policy
    of conf/policy.

    Args:
        obs_shape, num_actions: of all policies.
        hidden_channels, num_layers, repeats_per_step: of the DRC that is compared.
        envs: batches of one step without gradient; the first one is also that of the table of policies.
        steps: T of a forward and backward pass.
        recompute_steps: of the library's DRC where it saves memory, see `DRCSpec`.
        batches: B of a pass; the first one is also that of the table of policies and of the profile.
        conv_batches: of the bare convolution; the fastest counts.
        timings: of everything, taken in turns; the median counts.
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
        """Of the DRC that is compared."""
        return self.num_actions, self.hidden_channels, self.num_layers, self.repeats_per_step

    def drc(self, **options: Any) -> "DRCPolicy":
        """The DRC that is compared, with new weights; ``options`` of `DRCSpec`."""
        from drc_lab.models.drc import DRCPolicy

        return DRCPolicy(check_obs_shape(tuple(self.obs_shape)), *self.sizes, **options).to(self.device)


@dataclass(frozen=True)
class WeightsSpec:
    """Arguments of `drc_lab.models.published.read`, as far as they can be judged without the weights."""

    path: str
    board: tuple[int, int] | None = None
    num_actions: int | None = None
    repeats_per_step: int | None = None

    def __post_init__(self) -> None:
        at_least("board", self.board or (), 1)
        all_at_least(self, 1, "num_actions", "repeats_per_step")

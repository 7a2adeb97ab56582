"""The arguments of Ricochet Robots: of its generator, its envs and its banks."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge, Le

from drc_lab.arguments import Spec
from drc_lab.envs.specs.game import GameSpec
from drc_lab.envs.specs.levels import (
    Density,
    NumLevels,
    OneLevel,
    Split,
    Steps,
    stages,
)
from drc_lab.errors import ConfigError, UserError
from drc_lab.rules import NUMBER, NotNegative, Positive, Real, Threads, Whole

Style = Literal["random", "official"]
Layout = Literal["v0", "v1"]
Observation = Literal["planes", "symbolic", "rgb"]
OBSERVATIONS = get_args(Observation)
MAX_SIZE = 255
MIN_OFFICIAL_SIZE = 12
ROBOT_NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
Side = Annotated[int, NUMBER, Ge(1), Le(MAX_SIZE)]


@dataclass
class BoardSpec(Spec):
    """Random boards in one of two styles; robots' cells and the target robot are drawn uniformly.

    "random": every inner edge is a wall with the same probability, and the goal is drawn uniformly. "official": see
    `drc_lab.envs.ricochet.official`.

    Args:
        height, width: cells.
        num_robots: at least 1.
        wall_density: probability of a wall on an inner edge (style "random").
        min_optimal, max_optimal: range of the moves of an optimal solution; boards outside it are discarded. None is
            no upper limit.
        split: "train", "valid" or "test" (`drc_lab.envs.levels`); None is any.
        style: "random" or "official".
        pad_height, pad_width, pad_robots: the size of the arrays, if it is to be larger than the board: the board is
            then in the upper left corner, closed cells fill the rest, and the robots from ``num_robots`` on are absent.
            Padding does not change the split of a board.
        max_states: a board is discarded if its search sees more positions than this.

    Raises:
        ConfigError: a setting that cannot work.
    """

    height: Side = 5
    width: Side = 5
    num_robots: Whole = 2
    wall_density: Density = 0.15
    min_optimal: Positive = 1
    max_optimal: Positive | None = None
    split: Split | None = "train"
    style: Style = "random"
    pad_height: Side | None = None
    pad_width: Side | None = None
    pad_robots: Whole | None = None
    max_states: Positive = 1_000_000

    def __post_init__(self) -> None:
        super().__post_init__()
        official = self.style == "official"
        for key in ("height", "width"):
            size = getattr(self, key)
            if official and (size < MIN_OFFICIAL_SIZE or size % 2):
                raise ConfigError(key, size, f"an even number from {MIN_OFFICIAL_SIZE} on with style=official")
        cells = self.height * self.width - 4 * official
        if cells < 2:
            raise ConfigError("height", self.height, "a board of at least 2 cells")
        if not 1 <= self.num_robots <= min(cells - 1, len(ROBOT_NAMES)):
            raise ConfigError("num_robots", self.num_robots, f"1 to {min(cells - 1, len(ROBOT_NAMES))} on this board")
        rooms = {"height": self.pad_height, "width": self.pad_width, "num_robots": self.pad_robots}
        for key, room in rooms.items():
            if room is not None and room < getattr(self, key):
                raise ConfigError(key, getattr(self, key), f"at most {room}, which there is room for")
        if self.max_optimal is not None and self.max_optimal < self.min_optimal:
            raise ConfigError("max_optimal", self.max_optimal, f"at least min_optimal = {self.min_optimal}, or null")
        check_packable(self.height * self.width, self.num_robots)


PLANES = 6  # planes before the robots' own: walls up, down, left, right, goal, target robot


def obs_shape(observation: str, height: int, width: int, num_robots: int) -> tuple[int, ...]:
    """The shape of one board's observation, see `drc_lab.envs.ricochet.step.RicochetBatch`."""
    if observation == "symbolic":
        return (2 + 3 * num_robots,)
    return (3, 2 * height + 1, 2 * width + 1) if observation == "rgb" else (PLANES + num_robots, height, width)


def most_robots(cells: int) -> int:
    """The most robots that the solver can handle: it packs their cells into the 63 bits of a non-negative int64."""
    return 63 // max(1, (cells - 1).bit_length())


def check_packable(cells: int, robots: int) -> None:
    """Raises a UserError if a board has more robots than the solver can handle."""
    if robots > most_robots(cells):
        raise UserError(f"solver: found {robots} robots on {cells} cells, allowed: at most {most_robots(cells)} robots")


@dataclass(frozen=True)
class RicochetSpec(GameSpec):
    """Arguments of `drc_lab.envs.ricochet.RicochetVectorEnv`; see `GameSpec` for the others.

    Args:
        height, width, num_robots, style, wall_density, min_optimal, max_optimal, split: see `BoardSpec`.
        num_levels, level_seed: size and seed of a fixed set of generated boards, or of a sample of a bank's; the set
            does not depend on the env's seed.
        augment: whether to rotate, mirror and recolour (renumber the robots of) each board at random.
        curriculum: see `CurriculumSpec`; its stages may set ``height``, ``width`` and ``num_robots`` up to the env's
            own (a smaller board lies in the upper left corner), ``wall_density``, ``min_optimal``, ``max_optimal``.
        observation: "planes", "symbolic" or "rgb".
        step_penalty, null_move_penalty, goal_reward, noop: see `drc_lab.envs.ricochet.step.Rules`.
        board, layout, bank: given boards, see `drc_lab.envs.ricochet.RicochetVectorEnv`.
        min_moved, max_moved: of a bank, range of the number of robots that an optimal solution has to move.
    """

    height: Side = 5
    width: Side = 5
    num_robots: Whole = 2
    style: Style = "random"
    wall_density: Density = 0.15
    min_optimal: Positive = 1
    max_optimal: Positive | None = None
    augment: bool = False
    curriculum: dict[str, Any] | None = None
    max_steps: Steps = 20
    observation: Observation = "planes"
    step_penalty: Real = 0.01
    null_move_penalty: Real = 0.0
    goal_reward: Real = 1.0
    noop: bool = False
    board: OneLevel | str | Sequence[OneLevel | str] | None = None
    layout: Layout | None = None
    bank: str | None = None
    min_moved: Positive = 1
    max_moved: Positive | None = None

    GIVEN_LEVELS = ("board", "layout", "bank")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.given:
            if self.curriculum is not None:
                raise ConfigError("curriculum", "a curriculum", "null with board, layout or bank: it needs a generator")
            if self.board is not None:
                if not isinstance(self.board, OneLevel | str) and not self.board:
                    raise ConfigError("board", [], "at least one board")
            elif self.layout is None:
                check_bank(str(self.bank))
            return
        BoardSpec(**self.of_a_stage, **self.of_all_stages)
        if self.curriculum is not None:
            if self.num_levels is not None:
                raise ConfigError("num_levels", self.num_levels, "null with a curriculum")
            stages(self.curriculum, BoardSpec, self.of_a_stage, **self.of_all_stages)

    @property
    def io(self) -> tuple[tuple[int, ...], int] | None:
        """Shape of an observation and number of actions; None if they depend on given boards."""
        if self.given:
            return None
        shape = obs_shape(self.observation, self.height, self.width, self.num_robots)
        return shape, 4 * self.num_robots + self.noop + (self.thinks is not None)

    @property
    def of_a_stage(self) -> dict[str, Any]:
        """Arguments of the generator that a stage of a curriculum may replace."""
        keys = ("height", "width", "num_robots", "wall_density", "min_optimal", "max_optimal")
        return {key: getattr(self, key) for key in keys}

    @property
    def of_all_stages(self) -> dict[str, Any]:
        """The generator's other arguments, which are the same in all stages."""
        room = {"pad_height": self.height, "pad_width": self.width, "pad_robots": self.num_robots}
        return {"style": self.style, "split": self.split, **room}

    @classmethod
    def held_out(
        cls, arguments: dict[str, Any], split: str | None, num_levels: NumLevels, level_seed: NotNegative | None
    ) -> dict[str, Any]:
        own = arguments.get("board") is not None or arguments.get("layout") is not None
        return super().held_out(arguments, *((None,) * 3 if own else (split, num_levels, level_seed)))


def check_bank(path: str | Path) -> None:
    """Raises a UserError if there is no such file."""
    if os.path.isdir(path):
        raise UserError(f"{path}: found a folder, allowed: a bank, the file that task=make_bank makes")
    if not os.path.exists(path):  # False also for names that no file can have
        raise UserError(f"{path}: no such file; python -m drc_lab task=make_bank makes one")


@dataclass(frozen=True)
class BankSpec(Spec):
    """How much to collect into a bank.

    Args:
        per_bin: the most boards to keep of one optimal length.
        max_draws: the most boards to generate; generation stops earlier if all bins are full.
        max_states: the most positions that one search may see (`BoardSpec`, `drc_lab.envs.ricochet.robots_moved`).
        threads: boards, or chunks of them, that are searched in parallel.
    """

    per_bin: Positive = 2000
    max_draws: Positive = 20_000
    max_states: Positive = 1_000_000
    threads: Threads = 1

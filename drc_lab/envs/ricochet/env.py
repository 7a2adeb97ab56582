"""Ricochet Robots as Gymnasium envs: `RicochetVectorEnv` for batches, `RicochetEnv` for one board."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from drc_lab.envs.curriculum import curriculum_levels
from drc_lab.envs.levels import AugmentedLevels, FixedLevels, LevelStream, generated_levels, hashed
from drc_lab.envs.render import DEFAULT_CELL_SIZE
from drc_lab.envs.ricochet.bank import load_bank
from drc_lab.envs.ricochet.generate import BoardGenerator
from drc_lab.envs.ricochet.identity import identities
from drc_lab.envs.ricochet.layouts import layout as fixed_layout
from drc_lab.envs.ricochet.level import Board, Boards
from drc_lab.envs.ricochet.solve import solve_many
from drc_lab.envs.ricochet.step import RicochetBatch, Rules
from drc_lab.envs.ricochet.symmetry import transform
from drc_lab.envs.symmetry import TRANSPOSE
from drc_lab.envs.vector import LevelEnv, LevelVectorEnv
from drc_lab.errors import ConfigError, UserError

MAX_STATES_OF_A_GIVEN_BOARD = 1_000_000  # beyond, its optimal length is left unknown


class RicochetVectorEnv(LevelVectorEnv):
    """A batch of Ricochet Robots boards.

    Observation: see `RicochetBatch`; by default uint8 [6 + R, H, W], 0 or 255: walls up, down, left, right, goal,
    target robot, each robot. Action: 4 * robot + direction (up, down, left, right), then the no-op if there is one.
    A robot slides until a wall or another robot stops it. Reward: -step_penalty each step, +goal_reward when the target
    robot stops on the goal, which terminates the episode. Truncation after max_steps.

    Boards come, in order of precedence, from ``board`` (one, or several of one size; `Board` or text), from ``layout``
    ("v0", "v1"), from a ``bank`` (a file that ``task=make_bank`` wrote), or from a generator: endless, or a fixed
    number of distinct boards if ``num_levels`` is given.

    Args:
        num_envs: B.
        height, width, num_robots, style, wall_density, min_optimal, max_optimal, split: see `BoardGenerator`.
        num_levels, level_seed: a fixed set of generated boards, or some of a bank's, drawn from this seed whatever the
            env's seed is.
        order: of a fixed set, "shuffled" or "sequential".
        augment: turn, mirror and recolour (renumber the robots of) each board at random.
        curriculum: see `CurriculumSpec`; its stages may set ``height``, ``width`` and ``num_robots`` up to the env's
            own (a smaller board lies in the upper left corner), ``wall_density``, ``min_optimal``, ``max_optimal``.
        max_steps: step limit, or [lowest, highest].
        observation: "planes", "symbolic" or "rgb".
        step_penalty, null_move_penalty, goal_reward, noop: see `Rules`.
        board, layout, bank: given boards.
        min_moved, max_moved: of a bank, the number of robots that an optimal solution moves.
        autoreset, copy, action_masks, render_mode, cell_size: see `LevelVectorEnv`.
    """

    GIVEN_LEVELS = ("board", "layout", "bank")

    def __init__(
        self,
        num_envs: int = 1,
        height: int = 5,
        width: int = 5,
        num_robots: int = 2,
        style: str = "random",
        wall_density: float = 0.15,
        min_optimal: int = 1,
        max_optimal: int | None = None,
        split: str = "train",
        num_levels: int | None = None,
        level_seed: int = 0,
        order: str = "shuffled",
        augment: bool = False,
        curriculum: dict[str, Any] | None = None,
        max_steps: int | Sequence[int] = 20,
        observation: str = "planes",
        step_penalty: float = 0.01,
        null_move_penalty: float = 0.0,
        goal_reward: float = 1.0,
        noop: bool = False,
        board: Board | str | Sequence[Board | str] | None = None,
        layout: str | None = None,
        bank: str | None = None,
        min_moved: int = 1,
        max_moved: int | None = None,
        autoreset: bool = True,
        copy: bool = True,
        action_masks: bool = False,
        render_mode: str | None = None,
        cell_size: int = DEFAULT_CELL_SIZE,
    ):
        if num_envs < 1:
            raise ConfigError("num_envs", num_envs, "at least 1")
        levels: LevelStream[Boards]
        if board is not None or layout is not None or bank is not None:
            if curriculum is not None:
                raise ConfigError("curriculum", "a curriculum", "null with board, layout or bank: it needs a generator")
            if board is not None or layout is not None:
                boards = fixed_boards(board) if board is not None else fixed_boards(fixed_layout(str(layout)))
            else:
                boards = load_bank(str(bank), min_optimal, max_optimal, min_moved, max_moved, split)
                boards = boards.sample(num_levels, level_seed)
            (height, width), num_robots = boards.walls.shape[1:], boards.robots.shape[1]
            levels = FixedLevels(boards, order)
        else:
            own: dict[str, Any] = {
                "height": height,
                "width": width,
                "num_robots": num_robots,
                "wall_density": wall_density,
                "min_optimal": min_optimal,
                "max_optimal": max_optimal,
            }
            padding = {"pad_height": height, "pad_width": width, "pad_robots": num_robots}
            fixed: dict[str, Any] = {"style": style, "split": split, **padding}
            generator = BoardGenerator(**own, **fixed)
            if curriculum is not None and num_levels is not None:
                raise ConfigError("num_levels", num_levels, "null with a curriculum")
            if curriculum is None:
                levels = generated_levels(generator, num_levels, level_seed, order, identities)
            else:
                levels = curriculum_levels(curriculum, BoardGenerator, own, **fixed)
        if augment:
            levels = AugmentedLevels(levels, augmented)
        rules = Rules(step_penalty, null_move_penalty, goal_reward, noop)
        batch = RicochetBatch(num_envs, height, width, num_robots, rules, observation)
        super().__init__(batch, levels, max_steps, autoreset, copy, action_masks, render_mode, cell_size)

    @classmethod
    def held_out(cls, arguments: dict[str, Any], split: str | None, num_levels: int | None, level_seed: int | None):
        own = arguments.get("board") is not None or arguments.get("layout") is not None
        return super().held_out(arguments, *((None,) * 3 if own else (split, num_levels, level_seed)))


class RicochetEnv(LevelEnv):
    """One board of a `RicochetVectorEnv`; takes the same arguments but for the number of envs."""

    def __init__(self, **kwargs):
        super().__init__(RicochetVectorEnv(num_envs=1, autoreset=False, **kwargs))


def fixed_boards(boards: Board | str | Sequence[Board | str]) -> Boards:
    """A set of given boards with their optimal lengths; -1 where there is no solution or the search is too large."""
    if isinstance(boards, Board | str):
        boards = [boards]
    if not boards:
        raise ConfigError("board", [], "at least one board")
    packed = Boards.pack([Board.from_text(b) if isinstance(b, str) else b for b in boards], [-1] * len(boards))
    with suppress(UserError):  # more robots than the solver takes
        lengths, _ = solve_many(packed, MAX_STATES_OF_A_GIVEN_BOARD)
        packed.optimal[:] = np.maximum(lengths, -1)
    return packed


def augmented(drawn: np.ndarray, boards: Boards) -> Boards:
    """Each board under a random symmetry that keeps its size, its robots renumbered; by a random uint64 [N]."""
    height, width = boards.walls.shape[1:]
    symmetry = (drawn % np.uint64(8 if height == width else TRANSPOSE)).astype(np.int64)
    ranks = [hashed(robot + 1, drawn) for robot in range(boards.robots.shape[1])]
    return transform(boards, symmetry, np.argsort(np.stack(ranks, axis=1), axis=1))

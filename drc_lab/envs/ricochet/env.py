"""Ricochet Robots as Gymnasium envs: `RicochetVectorEnv` for batches, `RicochetEnv` for one board."""

from collections.abc import Sequence

from drc_lab.envs.levels import FixedLevels, GeneratedLevels, LevelStream, draw_distinct
from drc_lab.envs.ricochet.level import Board, Boards
from drc_lab.envs.ricochet.generate import BoardGenerator, identities
from drc_lab.envs.ricochet.layouts import layout as fixed_layout
from drc_lab.envs.ricochet.solve import DEFAULT_MAX_STATES, SearchLimitReached, solve
from drc_lab.envs.ricochet.step import RicochetBatch, Rules
from drc_lab.envs.vector import LevelEnv, LevelVectorEnv
from drc_lab.errors import ConfigError


class RicochetVectorEnv(LevelVectorEnv):
    """A batch of Ricochet Robots boards.

    Observation: uint8 [6 + R, H, W], 0 or 255: walls up, down, left, right, goal, target robot, each robot.
    Action: 4 * robot + direction (up, down, left, right), then the no-op if there is one. A robot slides until a wall
    or another robot stops it. Reward: -step_penalty each step, +goal_reward when the target robot stops on the goal,
    which terminates the episode. Truncation after max_steps.

    Boards come, in order of precedence, from ``board`` (one, or several of one size; `Board` or text), from ``layout``
    ("v0", "v1"), or from a generator: endless, or a fixed number of distinct boards if ``num_levels`` is given.

    Args:
        num_envs: B.
        height, width, num_robots, wall_density, min_optimal, max_optimal, split: see `BoardGenerator`.
        num_levels, level_seed: a fixed set of generated boards, drawn from this seed whatever the env's seed is.
        order: of a fixed set, "shuffled" or "sequential".
        max_steps: step limit.
        step_penalty, goal_reward, noop: see `Rules`.
        board, layout: fixed boards.
        autoreset, copy, render_mode: see `LevelVectorEnv`.
    """

    def __init__(
        self,
        num_envs: int = 1,
        height: int = 5,
        width: int = 5,
        num_robots: int = 2,
        wall_density: float = 0.15,
        min_optimal: int = 1,
        max_optimal: int | None = None,
        split: str = "train",
        num_levels: int | None = None,
        level_seed: int = 0,
        order: str = "shuffled",
        max_steps: int = 20,
        step_penalty: float = 0.01,
        goal_reward: float = 1.0,
        noop: bool = False,
        board: Board | str | Sequence[Board | str] | None = None,
        layout: str | None = None,
        autoreset: bool = True,
        copy: bool = True,
        render_mode: str | None = None,
    ):
        if num_envs < 1:
            raise ConfigError("num_envs", num_envs, "at least 1")
        levels: LevelStream
        if board is not None or layout is not None:
            boards = fixed_boards(board) if board is not None else fixed_boards(fixed_layout(str(layout)))
            (height, width), num_robots = boards.walls.shape[1:], boards.robots.shape[1]
            levels = FixedLevels(boards, order)
        else:
            generator = BoardGenerator(height, width, num_robots, wall_density, min_optimal, max_optimal, split)
            if num_levels is None:
                levels = GeneratedLevels(generator)
            else:
                if num_levels < 1:
                    raise ConfigError("num_levels", num_levels, "at least 1, or null for an endless stream")
                levels = FixedLevels(draw_distinct(generator, num_levels, level_seed, identities), order)
        rules = Rules(step_penalty, goal_reward, noop)
        batch = RicochetBatch(num_envs, height, width, num_robots, rules)
        super().__init__(batch, levels, max_steps, autoreset, copy, render_mode)


class RicochetEnv(LevelEnv):
    """One board of a `RicochetVectorEnv`; takes the same arguments but for the number of envs."""

    def __init__(self, **kwargs):
        super().__init__(RicochetVectorEnv(num_envs=1, autoreset=False, **kwargs))


def fixed_boards(boards: Board | str | Sequence[Board | str]) -> Boards:
    """A set of given boards with their optimal lengths; -1 where there is no solution or the search is too large."""
    if isinstance(boards, Board | str):
        boards = [boards]
    parsed = [Board.from_text(b) if isinstance(b, str) else b for b in boards]
    return Boards.pack(parsed, [_optimal(b) for b in parsed])


def _optimal(board: Board) -> int:
    try:
        solution = solve(board, DEFAULT_MAX_STATES // 20)
    except SearchLimitReached:
        return -1
    return len(solution) if solution else -1

"""Exact solutions with the fewest moves or the fewest pushes."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from drc_lab.envs.search import LIMIT, UNSOLVABLE, SearchLimitReached, in_threads
from drc_lab.envs.sokoban.level import BOX, BOX_ON_TARGET, PLAYER, PLAYER_ON_TARGET, TARGET
from drc_lab.envs.sokoban.replay import replay
from drc_lab.envs.sokoban.search import RUNNING, actions_to, advance, begin
from drc_lab.envs.sokoban.survey import survey
from drc_lab.errors import ConfigError, UserError

DEFAULT_MAX_STATES = 5_000_000
# Of one compiled call, in cells walked over and steps of matchings: up to 0.1 s. Ctrl-C takes effect between calls.
WORK_AT_ONCE = 20_000_000

Optimal = Literal["moves", "pushes"]


@dataclass(frozen=True)
class Solution:
    """A solution: ``actions`` in the env's numbering (0 up, 1 down, 2 left, 3 right), ``pushes`` of them push a box."""

    actions: tuple[int, ...]
    pushes: int

    def __len__(self) -> int:
        return len(self.actions)


def solve(tiles: np.ndarray, optimal: Optimal = "moves", max_states: int = DEFAULT_MAX_STATES) -> Solution | None:
    """A solution with the fewest moves (or pushes), or None if it is proven that there is none.

    Args:
        tiles: uint8 [H, W], codes WALL to PLAYER_ON_TARGET; cells beyond its edge count as walls.
        optimal: what to minimise.
        max_states: the most positions to store, of up to about 100 bytes each for four boxes.

    Raises:
        SearchLimitReached: more than ``max_states`` positions were seen without an answer.
        UserError: not one player, or not as many targets as boxes.
    """
    if optimal not in ("moves", "pushes"):
        raise ConfigError("optimal", optimal, "moves | pushes")
    tiles = np.ascontiguousarray(tiles, np.uint8)
    _check(tiles)
    level = survey(tiles)
    by_moves, end = optimal == "moves", RUNNING
    store = begin(level, by_moves)
    cells, boxes = len(level.target), len(level.boxes)
    slice_length = 1 + WORK_AT_ONCE // (1 + 4 * boxes * (cells + boxes**3))
    while end == RUNNING:
        store, end = advance(level, store, by_moves, np.iinfo(np.int64).max, max_states, slice_length)
    if end == LIMIT:
        raise SearchLimitReached(f"no answer within {max_states} positions")
    if end == UNSOLVABLE:
        return None
    actions = actions_to(level, store, end)
    return Solution(tuple(actions.tolist()), replay(tiles, actions)[2])


def _check(tiles: np.ndarray) -> None:
    counts = np.bincount(tiles.ravel(), minlength=PLAYER_ON_TARGET + 1)
    players, boxes, targets = counts[PLAYER] + counts[PLAYER_ON_TARGET], counts[BOX], counts[TARGET]
    if players != 1:
        raise UserError(f"solver: found a level with {players} players, allowed: 1")
    if boxes != targets + counts[PLAYER_ON_TARGET]:
        on = counts[BOX_ON_TARGET]
        raise UserError(
            f"solver: found a level with {boxes + on} boxes and "
            f"{targets + counts[PLAYER_ON_TARGET] + on} targets, allowed: as many of both"
        )


def solve_many(
    levels: np.ndarray, optimal: Optimal = "moves", max_states: int = DEFAULT_MAX_STATES, threads: int = 1
) -> np.ndarray:
    """The fewest moves (or pushes) for each of many levels.

    Args:
        levels: uint8 [N, H, W].
        optimal, max_states: see `solve`, for each level.
        threads: levels solved in parallel.

    Returns:
        int64 [N]: the length, UNSOLVABLE or LIMIT.
    """

    def length(tiles: np.ndarray) -> int:
        try:
            solution = solve(tiles, optimal, max_states)
        except SearchLimitReached:
            return LIMIT
        return UNSOLVABLE if solution is None else len(solution) if optimal == "moves" else solution.pushes

    return np.fromiter(in_threads(length, levels, threads), np.int64, len(levels))

"""Boards under the symmetries of the square, and with their robots renumbered."""

import numpy as np

from drc_lab.envs.ricochet.level import Boards
from drc_lab.envs.symmetry import COUNT, DIRECTIONS, TRANSPOSE, places
from drc_lab.errors import ConfigError


def _wall_table() -> np.ndarray:
    table = np.zeros((COUNT, 16), np.uint8)
    for direction in range(4):
        has = np.arange(16) >> direction & 1
        table |= (has << DIRECTIONS[:, direction, None]).astype(np.uint8)
    return table


WALLS = _wall_table()
"""uint8 [8, 16]: what the walls of a cell (bit d: on side d) become under each symmetry."""


def transform(boards: Boards, symmetry: int | np.ndarray, order: np.ndarray | None = None) -> Boards:
    """The boards rotated and mirrored; ``optimal`` and identities stay the same. See `transform_actions`.

    Args:
        symmetry: one for all boards, or int64 [N]; unless boards are square, either all must transpose or none.
        order: int64 [N, R]: which robot becomes robot 0, 1, ...; None keeps the numbering.
    """
    N, height, width = boards.walls.shape
    chosen = np.broadcast_to(symmetry, N)
    transposed = chosen & TRANSPOSE > 0
    if height != width and transposed.any() and not transposed.all():
        raise ConfigError("symmetry", "some that transpose", f"all or none of them, as boards are {height} x {width}")
    to, each = places(height, width)[chosen], np.arange(N)[:, None]
    walls = np.empty((N, height * width), np.uint8)
    walls[each, to] = WALLS[chosen[:, None], boards.walls.reshape(walls.shape)]
    robots = np.where(boards.robots < 0, -1, to[each, boards.robots])
    target = boards.target
    if order is not None:
        robots, target = robots[each, order], np.argmax(order == target[:, None], axis=1)
    shape = (N, width, height) if N and transposed.all() else (N, height, width)
    return Boards(walls.reshape(shape), robots, to[each[:, 0], boards.goal], target, boards.optimal)


def transform_actions(actions: np.ndarray, symmetry: int | np.ndarray, order: np.ndarray) -> np.ndarray:
    """int64 [N, T]: the actions (int [N, T]) for the boards that `transform` makes with the same arguments.

    Whatever is not a move (a no-op, or -1 after the end of a solution) is not changed.
    """
    N, robots = order.shape
    chosen, becomes = np.broadcast_to(symmetry, N)[:, None], np.argsort(order, axis=1)
    is_move = (actions >= 0) & (actions < 4 * robots)
    moves = np.where(is_move, actions, 0).astype(np.int64)
    turned = 4 * np.take_along_axis(becomes, moves // 4, axis=1) + DIRECTIONS[chosen, moves % 4]
    return np.where(is_move, turned, actions)

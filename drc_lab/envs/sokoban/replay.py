"""Plays given actions without an env, to check solutions from any source."""

import numpy as np

from drc_lab.envs.sokoban.level import BOX, BOX_ON_TARGET, FLOOR, PLAYER, PLAYER_ON_TARGET, TARGET, WALL
from drc_lab.numerics import jit


def replay(tiles: np.ndarray, actions: np.ndarray) -> tuple[bool, int, int]:
    """Plays actions under the game's rules until the level is solved.

    Args:
        tiles: uint8 [H, W].
        actions: ints [A], 0 up, 1 down, 2 left, 3 right.

    Returns:
        whether it was solved, the number of moves until then (blocked moves count), and the pushes among them.
    """
    return replay_tiles(np.array(tiles, np.uint8), np.asarray(actions, np.uint8))


@jit
def replay_tiles(tiles, actions):
    """`replay`, compiled. tiles: uint8 [H, W], changed in place; actions: uint8 [A]."""
    height, width = tiles.shape
    r = c = loose = pushes = 0
    for y in range(height):
        for x in range(width):
            loose += tiles[y, x] == BOX
            if tiles[y, x] in (PLAYER, PLAYER_ON_TARGET):
                r, c = y, x
                tiles[y, x] = FLOOR if tiles[y, x] == PLAYER else TARGET
    for move in range(len(actions)):
        if loose == 0:
            return True, move, pushes
        action = actions[move]
        dr, dc = (action == 1) - (action == 0), (action == 3) - (action == 2)
        y, x = r + dr, c + dc
        if not (0 <= y < height and 0 <= x < width) or tiles[y, x] == WALL:
            continue
        if tiles[y, x] in (BOX, BOX_ON_TARGET):
            v, u = y + dr, x + dc
            if not (0 <= v < height and 0 <= u < width) or tiles[v, u] not in (FLOOR, TARGET):
                continue
            loose += (tiles[y, x] == BOX_ON_TARGET) - (tiles[v, u] == TARGET)
            tiles[v, u] = BOX_ON_TARGET if tiles[v, u] == TARGET else BOX
            tiles[y, x] = TARGET if tiles[y, x] == BOX_ON_TARGET else FLOOR
            pushes += 1
        r, c = y, x
    return loose == 0, len(actions), pushes

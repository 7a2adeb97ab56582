"""Levels under the symmetries of the square."""

import numpy as np

from drc_lab.envs.sokoban.level import Levels
from drc_lab.envs.symmetry import TRANSPOSE, places
from drc_lab.errors import ConfigError


def transform(levels: Levels, symmetry: int | np.ndarray) -> Levels:
    """The levels rotated and mirrored; the action d becomes ``DIRECTIONS[symmetry, d]`` of `drc_lab.envs.symmetry`.

    Args:
        symmetry: one for all levels, or int64 [N]; unless levels are square, either all must transpose or none.
    """
    N, height, width = levels.tiles.shape
    chosen = np.broadcast_to(symmetry, N)
    turned = chosen & TRANSPOSE > 0
    if height != width and turned.any() and not turned.all():
        raise ConfigError("symmetry", "some that transpose", f"all or none of them, as levels are {height} x {width}")
    tiles = np.empty((N, height * width), np.uint8)
    tiles[np.arange(N)[:, None], places(height, width)[chosen]] = levels.tiles.reshape(N, -1)
    shape = (N, width, height) if N and turned.all() else (N, height, width)
    return Levels(tiles.reshape(shape), levels.optimal, levels.pushes)

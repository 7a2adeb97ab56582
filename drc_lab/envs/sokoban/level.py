"""A Sokoban level, its text form, and levels packed into arrays."""

from dataclasses import dataclass

import numpy as np

from drc_lab.envs.levels import LevelSet

# What is in a cell. The order is that of gym-sokoban, of the one-hot observation's planes, and of PALETTE.
WALL, FLOOR, TARGET, BOX_ON_TARGET, BOX, PLAYER, PLAYER_ON_TARGET = range(7)
SYMBOLS = "# .*$@+"
MAX_SIZE = 50

# Tiny RGB, one pixel a cell, in the colours of Boxoban as the published agents see it.
PALETTE = np.array(
    [
        (0, 0, 0),
        (243, 248, 238),
        (254, 126, 125),
        (254, 95, 56),
        (142, 121, 56),
        (160, 212, 56),
        (219, 212, 56),
    ],
    np.uint8,
)


@dataclass
class Levels(LevelSet):
    """N levels of one size in the form that the compiled loops read.

    Attributes:
        tiles: uint8 [N, H, W], codes WALL to PLAYER_ON_TARGET.
        optimal: int64 [N], moves of a solution with the fewest moves; -1 if unknown.
        pushes: int64 [N], pushes of a solution with the fewest pushes; -1 if unknown.
    """

    tiles: np.ndarray
    optimal: np.ndarray
    pushes: np.ndarray

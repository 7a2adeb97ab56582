"""The four directions of all games: 0 up, 1 down, 2 left, 3 right. ``direction ^ 1`` is the opposite one."""

from drc_lab.numerics import jit


@jit
def stride_of(direction, width):
    """What the next cell in a direction has more than this cell in its index, which is y * width + x."""
    return -width if direction == 0 else width if direction == 1 else -1 if direction == 2 else 1

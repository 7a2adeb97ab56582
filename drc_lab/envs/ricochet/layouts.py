"""The milestone layouts: the smallest boards on which an agent must be able to learn at all."""

from drc_lab.arguments import fit
from drc_lab.envs.ricochet.level import Board, border
from drc_lab.envs.specs.ricochet import Layout


def _one_wall(robot: tuple[int, int], goal: tuple[int, int], edge: str, place: tuple[int, int]) -> Board:
    h_walls, v_walls = border(5, 5)
    (h_walls if edge == "h" else v_walls)[place] = True
    return Board(h_walls, v_walls, (robot,), goal)


def layout(name: str) -> list[Board]:
    """``v0``: one 4x4 board that a single move right solves. ``v1``: four 5x5 boards, each solved by one move in a
    different direction."""
    fit(Layout, name, "layout")
    if name == "v0":
        return [Board(*border(4, 4), robots=((0, 1),), goal=(0, 3))]
    return [
        _one_wall((3, 2), (1, 2), "h", (1, 2)),  # up
        _one_wall((1, 2), (3, 2), "h", (4, 2)),  # down
        _one_wall((2, 3), (2, 1), "v", (2, 1)),  # left
        _one_wall((2, 1), (2, 3), "v", (2, 4)),  # right
    ]

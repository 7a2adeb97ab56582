"""Random Ricochet boards, and the plain search for their distances."""

import itertools
from collections import deque

from drc_lab.envs.ricochet import Board, border


def plain_slide(board: Board, robots, robot, direction):
    """The rule, from the edges themselves: stop before a wall or another robot."""
    r, c = robots[robot]
    dr, dc = ((-1, 0), (1, 0), (0, -1), (0, 1))[direction]
    while True:
        wall = (board.h_walls[r, c], board.h_walls[r + 1, c], board.v_walls[r, c], board.v_walls[r, c + 1])[direction]
        if wall or (r + dr, c + dc) in robots:
            return r, c
        r, c = r + dr, c + dc


def plain_distance(board: Board):
    """Plain breadth-first search over all positions, no tricks. None if there is no solution."""
    seen, queue = {board.robots}, deque([(board.robots, 0)])
    while queue:
        robots, depth = queue.popleft()
        for robot, direction in itertools.product(range(len(robots)), range(4)):
            moved = list(robots)
            moved[robot] = plain_slide(board, robots, robot, direction)
            moved = tuple(moved)
            if moved[board.target] == board.goal:
                return depth + 1
            if moved not in seen:
                seen.add(moved)
                queue.append((moved, depth + 1))
    return None


def random_board(rng, height, width, robots):
    h, v = border(height, width)
    h[1:-1] = rng.random((height - 1, width)) < 0.25
    v[:, 1:-1] = rng.random((height, width - 1)) < 0.25
    cells = rng.choice(height * width, robots + 1, replace=False)
    *starts, goal = (divmod(int(cell), width) for cell in cells)
    return Board(h, v, tuple(starts), goal, int(rng.integers(robots)))

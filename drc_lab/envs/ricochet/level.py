"""A Ricochet Robots board, its text form, and boards packed into arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from drc_lab.envs.levels import LevelSet
from drc_lab.envs.specs.levels import OneLevel
from drc_lab.envs.specs.ricochet import ROBOT_NAMES
from drc_lab.errors import UserError

CLOSED = 15  # walls on all four sides of a cell


@dataclass(frozen=True, eq=False)
class Board(OneLevel):
    """One board. The border is always walled.

    Args:
        h_walls: bool [H + 1, W]; h_walls[r, c] is the edge above cell (r, c).
        v_walls: bool [H, W + 1]; v_walls[r, c] is the edge left of cell (r, c).
        robots: (row, column) of each robot.
        goal: (row, column).
        target: index of the robot that has to stop on the goal.

    Raises:
        UserError: array shapes that do not match, an open border, robots off the board or sharing a cell, or a target
            robot that already stands on the goal.
    """

    h_walls: np.ndarray
    v_walls: np.ndarray
    robots: tuple[tuple[int, int], ...]
    goal: tuple[int, int]
    target: int = 0

    def __post_init__(self) -> None:
        h, v = np.array(self.h_walls, dtype=bool), np.array(self.v_walls, dtype=bool)
        robots = tuple((int(r), int(c)) for r, c in self.robots)
        for name, value in (("h_walls", h), ("v_walls", v), ("robots", robots), ("goal", tuple(map(int, self.goal)))):
            object.__setattr__(self, name, value)
        if h.ndim != 2 or v.ndim != 2 or h.shape[0] < 2 or v.shape != (h.shape[0] - 1, h.shape[1] + 1):
            raise UserError(f"board: h_walls {h.shape} and v_walls {v.shape} are not (H + 1, W) and (H, W + 1)")
        if not (h[0].all() and h[-1].all() and v[:, 0].all() and v[:, -1].all()):
            raise UserError("board: the border is open; the outermost edges of h_walls and v_walls must be walls")
        if not 1 <= len(robots) <= len(ROBOT_NAMES):
            raise UserError(f"board: found {len(robots)} robots, allowed: 1 to {len(ROBOT_NAMES)}")
        for name, (r, c) in [*((f"robot {i}", p) for i, p in enumerate(robots)), ("the goal", self.goal)]:
            if not (0 <= r < self.height and 0 <= c < self.width):
                raise UserError(f"board: {name} at {(r, c)} is off the {self.height} x {self.width} board")
        if len(set(robots)) < len(robots):
            raise UserError(f"board: two robots share a cell: {robots}")
        if not 0 <= self.target < len(robots):
            raise UserError(f"board: target {self.target} is not one of the {len(robots)} robots")
        if robots[self.target] == self.goal:
            raise UserError(f"board: the target robot already stands on the goal {self.goal}")

    @property
    def height(self) -> int:
        return self.v_walls.shape[0]

    @property
    def width(self) -> int:
        return self.h_walls.shape[1]

    def __str__(self) -> str:
        return draw(wall_bits(self.h_walls, self.v_walls), self.robots, self.goal, self.target)

    @classmethod
    def from_text(cls, text: str) -> "Board":
        """Reads what ``str(board)`` writes; blank lines around it and trailing spaces do not matter.

        Raises:
            UserError: what is wrong with the text, and in which line.
        """
        lines = [line.rstrip() for line in text.strip("\n").split("\n")]
        indent = len(lines[0]) - len(lines[0].lstrip())
        lines = [line[indent:] for line in lines]
        while lines and not lines[-1]:
            lines.pop()
        width, height = max(map(len, lines), default=0) // 3, (len(lines) - 1) // 2
        if height < 1 or width < 1 or len(lines) != 2 * height + 1:
            raise UserError("board text: needs lines of edges (+--+--+) and lines of cells (|A  a|) in turn")
        h_walls, v_walls = np.zeros((height + 1, width), bool), np.zeros((height, width + 1), bool)
        robots: dict[str, tuple[int, int]] = {}
        goals: dict[str, tuple[int, int]] = {}
        for number, line in enumerate(lines):
            r, line = number // 2, line.ljust(3 * width + 1)
            if number % 2 == 0:
                if set(line[::3]) != {"+"}:
                    raise UserError(f"board text: line {number + 1} has no + at every third place: {line!r}")
                h_walls[r] = [line[3 * c + 1 : 3 * c + 3] == "--" for c in range(width)]
                continue
            for mark in line[::3]:
                if mark not in " |":
                    raise UserError(f"board text: line {number + 1}: {mark!r} is no edge, allowed: | and space")
            v_walls[r] = [mark == "|" for mark in line[::3]]
            for c in range(width):
                robot, goal = line[3 * c + 1], line[3 * c + 2]
                if robot not in " " + ROBOT_NAMES or goal not in " " + ROBOT_NAMES.lower() or robot in robots:
                    raise UserError(f"board text: line {number + 1}: unknown or repeated symbol in {robot + goal!r}")
                if robot != " ":
                    robots[robot] = (r, c)
                if goal != " ":
                    goals[goal] = (r, c)
        names = ROBOT_NAMES[: len(robots)]
        if set(robots) != set(names) or len(goals) != 1 or next(iter(goals)).upper() not in robots:
            raise UserError(
                f"board text: found robots {sorted(robots)} and goals {sorted(goals)}, allowed: robots A, B, ... "
                "without a gap and one goal, the small letter of one of them"
            )
        ((name, place),) = goals.items()
        return cls(h_walls, v_walls, tuple(robots[n] for n in names), place, names.index(name.upper()))


def border(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """(h_walls, v_walls) of a board with no walls but its border."""
    h_walls, v_walls = np.zeros((height + 1, width), bool), np.zeros((height, width + 1), bool)
    h_walls[[0, -1]] = v_walls[:, [0, -1]] = True
    return h_walls, v_walls


@dataclass
class Boards(LevelSet):
    """N boards of one size in the form that the compiled loops read.

    Attributes:
        walls: uint8 [N, H, W], bit d set if there is a wall on side d (up, down, left, right) of the cell.
        robots: int64 [N, R], cell index r * W + c of each robot; -1 where it is absent.
        goal: int64 [N].
        target: int64 [N], index of the target robot.
        optimal: int64 [N], moves of an optimal solution; -1 if unknown.
    """

    walls: np.ndarray
    robots: np.ndarray
    goal: np.ndarray
    target: np.ndarray
    optimal: np.ndarray

    @classmethod
    def pack(cls, boards: list[Board], optimal: list[int]) -> "Boards":
        """Packs single boards, which must have the same size and number of robots; otherwise a UserError."""
        sizes = {(b.height, b.width, len(b.robots)) for b in boards}
        if len(sizes) > 1:
            raise UserError(f"boards: found (height, width, robots) {sorted(sizes)}, allowed: one size in a set")
        W = boards[0].width
        walls = [wall_bits(b.h_walls, b.v_walls) for b in boards]
        robots = [[r * W + c for r, c in b.robots] for b in boards]
        goals, targets = [b.goal[0] * W + b.goal[1] for b in boards], [b.target for b in boards]
        return cls(np.stack(walls), *(np.array(x, np.int64) for x in (robots, goals, targets, optimal)))

    def board(self, index: int) -> Board:
        """Board ``index`` as an object; absent robots are left out, closed cells around the board are kept."""
        W, walls = self.walls.shape[2], self.walls[index]
        h_walls, v_walls = border(*walls.shape)
        h_walls[:-1], v_walls[:, :-1] = walls & 1 > 0, walls & 4 > 0
        present = self.robots[index] >= 0
        robots = tuple(divmod(int(cell), W) for cell in self.robots[index, present])
        target = int(present[: self.target[index]].sum())
        return Board(h_walls, v_walls, robots, divmod(int(self.goal[index]), W), target)


def draw(walls: np.ndarray, robots: Sequence[tuple[int, int] | None], goal: tuple[int, int], target: int) -> str:
    """The text form: cells two characters wide, first the robot (A, B, ...), then the goal (its robot in lower case).

    Args:
        walls: uint8 [H, W] as in `Boards`.
        robots: (row, column) of each, None where it is absent.
    """
    height, width = walls.shape
    standing = {cell: ROBOT_NAMES[i] for i, cell in enumerate(robots)}
    lines = ["+" + "--+" * width]
    for r in range(height):
        cells, edges = "|", "+"
        for c in range(width):
            cells += standing.get((r, c), " ") + (ROBOT_NAMES[target].lower() if (r, c) == goal else " ")
            cells += "|" if walls[r, c] & 8 else " "
            edges += "--+" if walls[r, c] & 2 else "  +"
        lines += [cells, edges]
    return "\n".join(lines)


def wall_bits(h_walls: np.ndarray, v_walls: np.ndarray) -> np.ndarray:
    """uint8 [H, W]: bit 0 wall above, 1 below, 2 left, 3 right."""
    sides = (h_walls[:-1], h_walls[1:], v_walls[:, :-1], v_walls[:, 1:])
    return np.bitwise_or.reduce([side.astype(np.uint8) << bit for bit, side in enumerate(sides)])

"""Solutions that others published for Boxoban's levels, each replayed before it is believed."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drc_lab.envs.sokoban.files import LevelFiles
from drc_lab.envs.sokoban.replay import replay_tiles
from drc_lab.errors import UserError
from drc_lab.numerics import jit

COLUMNS = ("File", "Level", "Actions")
_OURS = bytes.maketrans(b"0123", bytes([0, 3, 1, 2]))  # theirs: up, right, down, left


@dataclass
class Solutions:
    """One replayed solution of each level that has any.

    Attributes:
        moves: int64 [N], its number of actions, -1 for a level without one. Nobody has proven that it is the least.
        actions: uint8 [all moves], the actions of all solutions: 0 up, 1 down, 2 left, 3 right.
        starts: int64 [N], where those of each level start.
        rows: of the file, without its header.
        malformed: rows whose file, level or actions are not what they should be.
        unknown: rows about levels that are not in the set, or were left out of it.
        unsolved: rows that do not solve their level when they are replayed.
        repeated: rows that solve their level, which another row does in as few or fewer moves.
    """

    moves: np.ndarray
    actions: np.ndarray
    starts: np.ndarray
    rows: int
    malformed: int
    unknown: int
    unsolved: int
    repeated: int

    def of(self, level: int) -> np.ndarray:
        """uint8 [moves]: the actions that solve a level, none if there is no solution."""
        return self.actions[self.starts[level] :][: max(0, self.moves[level])]


def read_solutions(path: str | Path, levels: LevelFiles) -> Solutions:
    """Reads a CSV file with the columns File (name without .txt), Level (number in it) and Actions.

    Numbers count invalid levels too, also where those are left out.
    Actions are 0 up, 1 right, 2 down, 3 left, as published. What follows the first step that solves is cut off.

    Args:
        path: the CSV file.
        levels: the folder of files that it is about.

    Raises:
        UserError: the file cannot be read, or lacks a column.
    """
    files = {file.stem: number for number, file in enumerate(levels.files)}
    rows = _read_rows(path)
    which, texts, malformed, unknown = [], [], 0, 0
    for stem, number, text in rows:
        if not re.fullmatch("[0-9]+", number) or not re.fullmatch("[0-3]+", text):
            malformed += 1
            continue
        found = levels.find(files[stem], int(number)) if stem in files else -1
        if found < 0:
            unknown += 1
        else:
            which.append(found)
            texts.append(text.encode().translate(_OURS))
    level = np.array(which, np.int64)
    actions = np.frombuffer(b"".join(texts), np.uint8)
    ends = np.cumsum([0, *map(len, texts)])
    moves = replay_solutions(levels[level].tiles, actions, ends)
    # Of each level the shortest that solves, the first of equals.
    order = np.lexsort((moves, level))
    order = order[moves[order] >= 0]
    best = order[np.unique(level[order], return_index=True)[1]]
    of_level = np.full(len(levels), -1), np.zeros(len(levels), np.int64)
    for array, values in zip(of_level, (moves[best], ends[best]), strict=True):
        array[level[best]] = values
    return Solutions(of_level[0], actions, of_level[1], len(rows), malformed, unknown,
                     unsolved=len(moves) - len(order), repeated=len(order) - len(best))  # fmt: skip


def _read_rows(path: str | Path) -> list[list[str]]:
    """The columns COLUMNS of all rows; what a row lacks is empty."""
    try:
        with open(path, newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(f"{path}: found no column {', '.join(missing)}, allowed: {', '.join(COLUMNS)}, ...")
            return [[row[name] or "" for name in COLUMNS] for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


@jit
def replay_solutions(tiles, actions, ends):
    """After how many actions each solution has first put all boxes on targets; -1 if it never does.

    A blocked action leaves all as it is, and counts.

    Args:
        tiles: uint8 [R, H, W], the level of each solution.
        actions: uint8 [all actions], 0 up, 1 down, 2 left, 3 right.
        ends: int64 [R + 1]; solution r is actions[ends[r] : ends[r + 1]].

    Returns:
        int64 [R].
    """
    moves = np.full(len(tiles), -1)
    for r in range(len(tiles)):
        solved, after, _ = replay_tiles(tiles[r].copy(), actions[ends[r] : ends[r + 1]])
        if solved:
            moves[r] = after
    return moves

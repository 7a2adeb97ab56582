"""Reads published solutions of Boxoban's levels. Each is replayed, and used only if it solves its level."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from drc_lab.envs.sokoban.files import LevelFiles
from drc_lab.envs.sokoban.replay import replay_tiles
from drc_lab.envs.specs.sokoban import LARGEST_SOLUTIONS
from drc_lab.errors import UserError
from drc_lab.numerics import jit
from drc_lab.untrusted import opened

LONGEST_LINE = 2**20  # characters
AT_ONCE = 10_000  # solutions that are replayed at a time, each on a copy of its level
COLUMNS = ("File", "Level", "Actions")
_OURS = bytes.maketrans(b"0123", bytes([0, 3, 1, 2]))  # from the published numbering: up, right, down, left


@dataclass
class Solutions:
    """The shortest published solution of each level that has any, checked by replaying it.

    Attributes:
        moves: int64 [N], its number of actions, -1 for a level without one. It is not proven to be the fewest.
        actions: uint8 [all moves], the actions of all solutions: 0 up, 1 down, 2 left, 3 right.
        starts: int64 [N], where those of each level start.
        rows: number of rows in the file, without the header.
        malformed: number of rows whose level or actions have the wrong format.
        unknown: number of rows about levels that are not in the set, or were left out of it.
        unsolved: number of rows that do not solve their level when they are replayed.
        repeated: number of rows that solve their level but are not used, as another row takes no more moves.
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
        """uint8 [moves]: the actions that solve a level, empty if there is no solution."""
        return self.actions[self.starts[level] :][: max(0, self.moves[level])]


def read_solutions(path: str | Path, levels: LevelFiles) -> Solutions:
    """Reads a CSV file with the columns File (name without .txt), Level (number in it) and Actions.

    Level numbers count invalid levels, even if these were left out. Actions are 0 up, 1 right, 2 down, 3 left, as
    published. Actions after the one that solves the level are cut off.

    Args:
        path: the CSV file.
        levels: the levels that it is about.

    Raises:
        UserError: the file cannot be read, or lacks a column.
    """
    files = {file.stem: number for number, file in enumerate(levels.files)}
    which, texts, rows, malformed, unknown = [], [], 0, 0, 0
    for stem, number, text in _read_rows(path):
        rows += 1
        if not re.fullmatch("[0-9]{1,9}", number) or not re.fullmatch("[0-3]+", text):
            malformed += 1
            continue
        level_number = levels.find(files[stem], int(number)) if stem in files else -1
        if level_number < 0:
            unknown += 1
        else:
            which.append(level_number)
            texts.append(text.encode().translate(_OURS))
    level = np.array(which, np.int64)
    actions = np.frombuffer(b"".join(texts), np.uint8)
    ends = np.cumsum([0, *map(len, texts)])
    parts = [
        replay_solutions(levels[level[at : at + AT_ONCE]].tiles, actions, ends[at : at + AT_ONCE + 1])
        for at in range(0, len(level), AT_ONCE)
    ]
    moves = np.concatenate([np.zeros(0, np.int64), *parts])
    # For each level its shortest solution, the first one of equals.
    order = np.lexsort((moves, level))
    order = order[moves[order] >= 0]
    best = order[np.unique(level[order], return_index=True)[1]]
    of_level = np.full(len(levels), -1), np.zeros(len(levels), np.int64)
    for array, values in zip(of_level, (moves[best], ends[best]), strict=True):
        array[level[best]] = values
    return Solutions(
        of_level[0],
        actions,
        of_level[1],
        rows,
        malformed,
        unknown,
        unsolved=len(moves) - len(order),
        repeated=len(order) - len(best),
    )


def _read_rows(path: str | Path) -> Iterator[list[str]]:
    """Yields the columns COLUMNS of each row; missing values are empty."""
    try:
        with opened(path, LARGEST_SOLUTIONS) as raw, io.TextIOWrapper(raw, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(_lines(file))
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(f"{path}: found no column {', '.join(missing)}, allowed: {', '.join(COLUMNS)}, ...")
            for row in reader:
                yield [row[name] or "" for name in COLUMNS]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: {' '.join(str(error).split())}") from None


def _lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise csv.Error(f"a line of {LONGEST_LINE:,} characters or more")
        yield line


@jit
def replay_solutions(tiles, actions, ends):
    """The number of actions after which each solution has first put all boxes on targets; -1 if it never does.

    A blocked action changes nothing, but counts.

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

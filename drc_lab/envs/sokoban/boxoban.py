"""A fast reader for Boxoban's own files: levels of 10 x 10 cells, each under a header ``; number``.

Files that deviate from this are left to the general parser, which can also say what is wrong with them.
"""

import re
from functools import lru_cache
from pathlib import Path

import numpy as np

from drc_lab.envs.sokoban.level import BOX, PLAYER, PLAYER_ON_TARGET, SYMBOLS, TARGET, WALL
from drc_lab.numerics import jit
from drc_lab.untrusted import opened

SIZE = 10
_NEWLINE, _SEMICOLON = ord("\n"), ord(";")
_CODES = np.full(256, 255, np.uint8)
_CODES[np.frombuffer(SYMBOLS.encode(), np.uint8)] = np.arange(len(SYMBOLS))
_HEAD = b"; 0\n" + b"#" * SIZE + b"\n"
_LAST_LEVEL = re.compile(rb"; (\d+)\n(?:[^\n]{10}\n){9}#{10}(\n{0,2})\Z")
_LAST_LEVEL_BYTES = 150
LEAST_BYTES = (SIZE + 1) * SIZE  # of a level
LARGEST = 2**28  # bytes of a file of levels


def count_levels(path: Path) -> int:
    """The number of levels in a file, from its size, its first lines and its last level alone; 0 if these do not fit
    Boxoban's format.

    Raises:
        UserError: the file cannot be read.
    """
    with opened(path, LARGEST) as file:
        head = file.read(len(_HEAD))
        size = file.seek(0, 2)
        file.seek(max(0, size - _LAST_LEVEL_BYTES))
        last = _LAST_LEVEL.search(file.read())
    if head != _HEAD or not last:
        return 0
    count, missing_newlines = int(last[1]) + 1, 2 - len(last[2])
    return count if count * LEAST_BYTES < size and _file_bytes(count) - missing_newlines == size else 0


@lru_cache
def _file_bytes(levels: int) -> int:
    """Bytes of a file with levels 0 to ``levels`` - 1 and a blank line after each."""
    header = sum(len(f"; {number}\n") for number in range(levels))
    return header + levels * ((SIZE + 1) * SIZE + 1)


def parse_boxoban(data: bytes) -> np.ndarray | None:
    """uint8 [N, 10, 10]: the tiles of all levels of a file, or None if it has an error or another format."""
    tiles = np.zeros((data.count(b";"), SIZE, SIZE), np.uint8)
    count = _parse(np.frombuffer(data, np.uint8), _CODES, tiles)
    return tiles[:count] if count > 0 else None


@jit
def _parse(text, codes, tiles):
    """Fills ``tiles`` from the bytes of a file. Returns the number of levels, or -1 if the format is another one.

    text: uint8 [bytes]; codes: uint8 [256], the tile code of each symbol; tiles: uint8 [N, 10, 10].
    """
    place = level = 0
    counts = np.zeros(7, np.int64)
    while True:
        while place < len(text) and text[place] == _NEWLINE:
            place += 1
        if place == len(text):
            return level
        if text[place] != _SEMICOLON or level == len(tiles):
            return -1
        while place < len(text) and text[place] != _NEWLINE:
            place += 1
        counts[:] = 0
        for row in range(SIZE):
            place += 1
            if place + SIZE > len(text):
                return -1
            for column in range(SIZE):
                code = codes[text[place + column]]
                edge = row == 0 or row == SIZE - 1 or column == 0 or column == SIZE - 1
                if code > PLAYER_ON_TARGET or (edge and code != WALL):
                    return -1
                tiles[level, row, column] = code
                counts[code] += 1
            place += SIZE
            if place < len(text) and text[place] != _NEWLINE:
                return -1
        if counts[PLAYER] + counts[PLAYER_ON_TARGET] != 1 or counts[BOX] == 0:
            return -1
        if counts[BOX] != counts[TARGET] + counts[PLAYER_ON_TARGET]:
            return -1
        level += 1

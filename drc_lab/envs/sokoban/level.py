"""A Sokoban level, its text form, and levels packed into arrays."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from drc_lab.envs.levels import LevelSet
from drc_lab.envs.sokoban.text import ALTERNATES, MEANING, find_boards, foreign_symbols
from drc_lab.envs.specs.level_files import Symbols, translation
from drc_lab.envs.specs.levels import OneLevel
from drc_lab.envs.specs.sokoban import MAX_SIZE
from drc_lab.errors import ConfigError, UserError

# What is in a cell. The order is that of gym-sokoban, of the one-hot observation's planes, and of PALETTE.
WALL, FLOOR, TARGET, BOX_ON_TARGET, BOX, PLAYER, PLAYER_ON_TARGET = range(7)
SYMBOLS = "# .*$@+"
MAX_TEXT = 20 * MAX_SIZE  # rows and symbols a row of a level's text, with what stands around it

# RGB of the observation with one pixel a cell, in the colours of Boxoban that the published agents see.
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

_CODES = {symbol: code for code, symbol in enumerate(SYMBOLS)}
_CODES |= {alternate: _CODES[symbol] for alternate, symbol in ALTERNATES.items()}


class _BadLevel(UserError):
    """An error in a level, and the row that it is in."""

    def __init__(self, problem: str, row: int):
        super().__init__(f"level, row {row}: {problem}")
        self.problem, self.row = problem, row


@dataclass(frozen=True, eq=False)
class Level(OneLevel):
    """One level. Its outermost cells are walls.

    Args:
        tiles: uint8 [H, W], codes WALL to PLAYER_ON_TARGET.

    Raises:
        UserError: larger than MAX_SIZE, an open border, not exactly one player, no box, not as many targets as boxes,
            or all boxes are on targets already.
    """

    tiles: np.ndarray

    def __post_init__(self) -> None:
        tiles = np.array(self.tiles, dtype=np.uint8)
        object.__setattr__(self, "tiles", tiles)
        if tiles.ndim != 2 or not tiles.size or tiles.max() >= len(SYMBOLS):
            raise UserError(f"level: tiles must be [H, W] of codes 0 to {len(SYMBOLS) - 1}")
        if max(tiles.shape) > MAX_SIZE:
            raise _BadLevel(f"found {self.height} x {self.width} cells, allowed: up to {MAX_SIZE} x {MAX_SIZE}", 0)
        if tiles[0].any() or tiles[-1].any() or tiles[:, 0].any() or tiles[:, -1].any():
            raise _BadLevel("the border is open: the outermost cells must be walls", 0)
        players = np.argwhere(tiles >= PLAYER)
        if len(players) != 1:
            row = players[1, 0] if len(players) else 0
            raise _BadLevel(f"found {len(players) or 'no'} players, allowed: one (@, or + on a target)", row)
        count = np.bincount(tiles.ravel(), minlength=len(SYMBOLS))
        boxes, targets = count[[BOX, BOX_ON_TARGET]].sum(), count[[TARGET, BOX_ON_TARGET, PLAYER_ON_TARGET]].sum()
        if not boxes:
            raise _BadLevel("found no box, allowed: at least one ($, or * on a target)", 0)
        if boxes != targets:
            raise _BadLevel(f"found {boxes} boxes and {targets} targets, allowed: as many targets as boxes", 0)
        if not count[BOX]:
            raise _BadLevel("all boxes are on targets already", 0)

    @property
    def height(self) -> int:
        return self.tiles.shape[0]

    @property
    def width(self) -> int:
        return self.tiles.shape[1]

    def __str__(self) -> str:
        return "\n".join("".join(SYMBOLS[code] for code in row) for row in self.tiles)

    @classmethod
    def from_text(cls, text: str, source: str = "level", first_line: int = 1, symbols: Symbols = None) -> "Level":
        """Reads what ``str(level)`` writes, or one level in any form that `parse_collection` reads.

        Raises:
            UserError: as `parse_collection`, or there is more than one level.
        """
        levels = parse_collection(text, source, first_line, symbols)
        if len(levels) > 1:
            raise UserError(f"{source}: found {len(levels)} levels, allowed: one")
        return levels[0]


def parse_collection(text: str, source: str, first_line: int = 1, symbols: Symbols = None) -> list[Level]:
    """All levels of a text, see `read_collection`.

    Raises:
        UserError: about the first invalid level, with its title and line; or there is no level.
    """
    levels = []
    for each in read_collection(text, source, first_line, symbols):
        if isinstance(each, UserError):
            raise each
        levels.append(each)
    return levels


def read_collection(
    text: str, source: str, first_line: int = 1, symbols: Symbols = None
) -> Iterator[Level | UserError]:
    """Yields each level of a text, or the error about it. Formats: Boxoban, .xsb, .sok, run-length coded rows.

    Rows may be indented and of different lengths. Cells outside the outer wall become walls.

    Args:
        text: titles, comments (``;``, ``'``, ``Comment:`` to ``Comment-End:``) and properties may stand around levels.
        source: the file's name, for messages, which refer to a level as ``source:number``, counted from 0.
        first_line: number of the text's first line.
        symbols: what the symbols of another alphabet stand for, see `translation`.

    Raises:
        UserError: there is no level.
    """
    translate = translation(symbols)
    boards = find_boards(text, source, first_line, translate)
    for number, board in enumerate(boards):
        first_row = 0
        try:
            padded = _codes(board.rows)
            tiles, first_row = _closed(padded)
            yield Level(tiles)
        except _BadLevel as error:
            title = f" ({board.title})" if board.title else ""
            line = board.lines[min(first_row + error.row, len(board.lines) - 1)]
            yield UserError(f"{source}:{number}{title}, line {line}: {error.problem}")
    if not boards:
        foreign = foreign_symbols(text, translate)
        known = f", allowed: {MEANING}; what others stand for says env.symbols, as in env.symbols=\"'X=# &=.'\""
        raise UserError(f"{source}: found no level" + (f", but rows with {foreign}{known}" if foreign else ""))


def _codes(rows: list[str]) -> np.ndarray:
    """uint8 [rows + 2, longest row + 2]: the rows with floor around them."""
    size = (len(rows), max(map(len, rows)))
    if max(size) > MAX_TEXT:
        raise _BadLevel(f"found {size[0]} rows of up to {size[1]} symbols, allowed: up to {MAX_TEXT} of each", 0)
    codes = np.full((size[0] + 2, size[1] + 2), FLOOR, np.uint8)
    for number, row in enumerate(rows):
        for column, symbol in enumerate(row):
            if symbol not in _CODES:
                others = dict.fromkeys(symbol for row in rows for symbol in row if symbol not in _CODES)
                found = ", ".join(map(repr, others))
                raise _BadLevel(
                    f"found {found}, allowed: # . * $ @ + space - _ p P b B, or those of env.symbols", number
                )
            codes[number + 1, column + 1] = _CODES[symbol]
    return codes


def _closed(codes: np.ndarray) -> tuple[np.ndarray, int]:
    """Cuts a board out of the floor around it. Returns its tiles, and the row of the text that it starts in.

    The outside is the floor that is connected to the edge. It may touch walls and, as .sok allows, boxes on targets;
    anything else that it touches is an error.
    """
    edge = np.ones(codes.shape, bool)
    edge[1:-1, 1:-1] = False
    outside = ndimage.binary_propagation(edge, mask=codes == FLOOR)
    bare = ndimage.binary_dilation(outside) & ~outside & (codes != WALL) & (codes != BOX_ON_TARGET)
    if bare.any():
        row, column = np.argwhere(bare)[0]
        symbol = SYMBOLS[codes[row, column]]
        raise _BadLevel(f"the border is open: {symbol!r} in column {column} is reached from outside", row - 1)
    (top, left), (bottom, right) = np.argwhere(~outside).min(0), np.argwhere(~outside).max(0)
    tiles = np.where(outside, WALL, codes)[top : bottom + 1, left : right + 1]
    border = np.concatenate([tiles[0], tiles[-1], tiles[:, 0], tiles[:, -1]])
    return np.pad(tiles, 1 if border.any() else 0, constant_values=WALL), int(top) - 1


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

    @property
    def height(self) -> int:
        return self.tiles.shape[1]

    @property
    def width(self) -> int:
        return self.tiles.shape[2]

    @classmethod
    def unsolved(cls, tiles: np.ndarray) -> "Levels":
        """Levels without a known solution."""
        return cls(tiles, np.full(len(tiles), -1), np.full(len(tiles), -1))

    @classmethod
    def pack(cls, levels: list[Level], height: int | None = None, width: int | None = None) -> "Levels":
        """Packs single levels, padding them with walls, on the right and at the bottom, to one size.

        Args:
            levels: at least one.
            height, width: that size; None is the size of the largest level.

        Raises:
            ConfigError: a level is larger.
        """
        size = []
        for key, given, largest in (
            ("height", height, max(level.height for level in levels)),
            ("width", width, max(level.width for level in levels)),
        ):
            if given is not None and given < largest:
                raise ConfigError(key, given, f"at least {largest}, that of the largest level")
            size.append(largest if given is None else given)
        tiles = np.full((len(levels), *size), WALL, np.uint8)
        for number, level in enumerate(levels):
            tiles[number, : level.height, : level.width] = level.tiles
        return cls.unsolved(tiles)

    def level(self, index: int) -> Level:
        """Level ``index`` as an object; walls that `pack` added are kept."""
        return Level(self.tiles[index])

"""Sets of Sokoban levels in files, opened without reading all of them and read file by file when they are needed."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from drc_lab.arguments import fit
from drc_lab.envs.levels import drawn
from drc_lab.envs.sokoban.boxoban import LARGEST, SIZE, count_levels, parse_boxoban
from drc_lab.envs.sokoban.level import Level, Levels, read_collection
from drc_lab.envs.specs.level_files import InvalidLevels, Symbols, level_files, level_folder, translation
from drc_lab.envs.specs.levels import SPLITS
from drc_lab.errors import ConfigError, UserError
from drc_lab.untrusted import read_bytes

LARGEST_TEXT = 2**24  # bytes of a file that is read line by line, which is slow
TOLD = 3  # the most skipped levels that a note describes
ADVICE = "; env.invalid_levels=skip leaves such levels out"


class Skipped(NamedTuple):
    """An invalid level that was left out: the index of its file, its number in that file, and what is wrong where."""

    file: int
    number: int
    problem: str


class FileLevels(NamedTuple):
    """The levels of one file: tiles uint8 [N, H, W], the number of each in the file (int64 [N]), and the errors of
    invalid levels by their number."""

    tiles: np.ndarray
    numbers: np.ndarray
    problems: dict[int, UserError]


class LevelFiles:
    """The levels of a file, or of all level files in a folder, in the sorted order of their names.

    It can take the place of a `Levels` where only the length and some levels at a time are needed, as in `FixedLevels`;
    the index of a level in the whole set is its id. The levels of Boxoban's files are counted without parsing; a file
    is parsed when the first of its levels is needed. Other files are parsed at once, because the size of their levels
    is not known before. All files are parsed at once if symbols are mapped, or if invalid levels are skipped, because
    the number of valid levels is not known before. Skipped levels have no ids; names and published solutions refer to
    a level by its number in its file, which counts invalid levels too.

    Args:
        path: a file, or a folder with .txt, .xsb or .sok files in it (not in folders below).
        height, width: cells of every level, walls added to the right and at the bottom; None is the largest level's.
        symbols: what the symbols of another alphabet stand for, see `translation`.
        invalid_levels: "error" raises an error about an invalid level, "skip" leaves that level out.

    Attributes:
        files: their paths.
        starts: int64 [files + 1], id of the first level of each file; the last is the number of levels.
        height, width: as above.
        parsed: bool [files], which ones have been parsed so far.
        skipped: the levels that were left out.
        optimal: int64 [levels], see `Levels`; -1 unless it is filled in, from published solutions for example.

    Raises:
        UserError: no such path or no level file; an invalid level (names file, number and line); or no valid level.
            Invalid levels in Boxoban's files are found when the file is parsed.
        ConfigError: height or width is less than that of the largest level; an invalid value of another argument.
    """

    def __init__(
        self,
        path: str | Path,
        height: int | None = None,
        width: int | None = None,
        symbols: Symbols = None,
        invalid_levels: str = "error",
    ):
        fit(InvalidLevels, invalid_levels, "invalid_levels")
        self.path, self.files, self.symbols = Path(path), level_files(Path(path)), symbols
        self.skipped: list[Skipped] = []
        self._numbers: dict[int, np.ndarray] = {}  # levels' numbers in their file, for files with skipped levels
        at_once = invalid_levels == "skip" or bool(translation(symbols))
        parsed: dict[int, np.ndarray] = {}
        counts, sizes = [], [(0, 0)]
        for number, file in enumerate(self.files):
            count, size = 0 if at_once else count_levels(file), (SIZE, SIZE)
            if not count:
                read = _parse_file(file, symbols)
                for place, problem in read.problems.items():
                    if invalid_levels == "error":
                        raise UserError(f"{problem}{ADVICE}")
                    self.skipped.append(Skipped(number, place, str(problem)))
                    self._numbers[number] = read.numbers
                parsed[number] = read.tiles
                count, size = len(read.tiles), read.tiles.shape[1:]
            counts.append(count)
            sizes.append(size)
        if not sum(counts):
            raise UserError(f"{path}: all {len(self.skipped):,} levels are invalid: {self.skipped[0].problem}")
        largest = np.max(sizes, axis=0).tolist()
        for key, given, needed in zip(("height", "width"), (height, width), largest, strict=True):
            if given is not None and given < needed:
                raise ConfigError(key, given, f"at least {needed}, that of the largest level in {path}")
        self.height, self.width = height or largest[0], width or largest[1]
        self.starts = np.concatenate([[0], np.cumsum(counts)])
        self.parsed = np.zeros(len(self.files), bool)
        self._ids = np.arange(self.starts[-1])
        self.optimal = np.full(len(self), -1)
        # WALL is 0, and the system allocates zeros lazily: a level takes up memory only once it is parsed.
        self._tiles = np.zeros((len(self), self.height, self.width), np.uint8)
        for number, tiles in parsed.items():
            self._keep(number, tiles)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: Any) -> Levels:
        """Some of the levels, by slice or index array."""
        index = self._ids[index]
        wanted = np.unique(np.searchsorted(self.starts, index, side="right") - 1)
        for number in wanted[~self.parsed[wanted]]:
            read = _parse_file(self.files[number], self.symbols)
            for problem in read.problems.values():
                raise UserError(f"{problem}{ADVICE}")
            self._keep(number, read.tiles)
        return Levels(self._tiles[index], self.optimal[index], np.full(len(index), -1))

    def pick(self, rows: np.ndarray) -> tuple[Levels, np.ndarray]:
        """See `LevelSet.pick`; the returned set holds just these levels."""
        return self[rows], np.arange(len(rows))

    def sample(self, count: int | None, seed: int) -> "LevelFiles | Levels":
        """See `LevelSet.sample`."""
        return self if count is None else self[drawn(len(self), count, seed)]

    def name(self, index: int) -> str:
        """``file:number`` of a level, numbers counted from 0 in each file, as Boxoban's headers do."""
        file = int(np.searchsorted(self.starts, index, side="right")) - 1
        place = index - int(self.starts[file])
        return f"{self.files[file]}:{self._numbers[file][place] if file in self._numbers else place}"

    def find(self, file: int, number: int) -> int:
        """The id of level ``number`` in a file, given by its index in ``files``; -1 if there is none or it was left
        out."""
        start, stop = self.starts[file : file + 2].tolist()
        if file in self._numbers:
            place = int(np.searchsorted(self._numbers[file], number))
            return start + place if place < stop - start and self._numbers[file][place] == number else -1
        return start + number if start + number < stop else -1

    def note(self) -> str:
        """How many levels were left out and where, in one line; empty if none were."""
        if not self.skipped:
            return ""
        problems = [each.problem for each in self.skipped[:TOLD]]
        problems += [f"and {len(self.skipped) - TOLD:,} more"] * (len(self.skipped) > TOLD)
        count = len(self.skipped)
        return f"{self.path}: skipped {count:,} of {len(self) + count:,} levels: {'; '.join(problems)}"

    def _keep(self, number: int, tiles: np.ndarray) -> None:
        start, stop = self.starts[number : number + 2]
        if len(tiles) != stop - start or tiles.shape[1] > self.height or tiles.shape[2] > self.width:
            raise UserError(
                f"{self.files[number]}: found {len(tiles)} levels of {tiles.shape[1]} x {tiles.shape[2]} cells, "
                f"but {stop - start} of up to {self.height} x {self.width} when the set was opened"
            )
        self._tiles[start:stop, : tiles.shape[1], : tiles.shape[2]] = tiles
        self.parsed[number] = True


def open_levels(
    path: str | Path,
    difficulty: str | None = None,
    split: str | None = None,
    height: int | None = None,
    width: int | None = None,
    symbols: Symbols = None,
    invalid_levels: str = "error",
) -> LevelFiles:
    """Opens a file, a folder of files, or one part of Boxoban, whose levels are in folders ``difficulty/split``.

    Levels of a folder with splits are padded to the largest level in any split, so that a policy trained on one split
    can be evaluated on the others. A folder may also hold the splits directly.

    Raises:
        UserError: as `LevelFiles`.
        ConfigError: a difficulty or split that does not exist, or one is needed and none is given; Boxoban's hard
            levels have no splits.
    """
    folder = level_folder(path, difficulty, split)
    if split is not None and folder.is_dir() and height is None and width is None:
        names = [name for name in SPLITS if (folder.parent / name).is_dir()]
        parts = [LevelFiles(folder.parent / name, None, None, symbols, invalid_levels) for name in names]
        height, width = max(part.height for part in parts), max(part.width for part in parts)
    return LevelFiles(folder, height, width, symbols, invalid_levels)


def _parse_file(path: Path, symbols: Symbols = None) -> FileLevels:
    data = read_bytes(path, LARGEST).replace(b"\r\n", b"\n")
    tiles = None if symbols else parse_boxoban(data)
    if tiles is not None:
        return FileLevels(tiles, np.arange(len(tiles)), {})
    if len(data) > LARGEST_TEXT:
        raise UserError(
            f"{path}: found {len(data):,} bytes, allowed: up to {LARGEST_TEXT:,} in a file not like Boxoban's"
        )
    valid: dict[int, Level] = {}
    problems: dict[int, UserError] = {}
    for number, each in enumerate(read_collection(data.decode("utf-8-sig", "replace"), str(path), symbols=symbols)):
        if isinstance(each, UserError):
            problems[number] = each
        else:
            valid[number] = each
    tiles = Levels.pack(list(valid.values())).tiles if valid else np.zeros((0, 0, 0), np.uint8)
    return FileLevels(tiles, np.array(list(valid), np.int64), problems)

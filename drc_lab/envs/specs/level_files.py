"""Finds Sokoban's level files (one file, a folder, or Boxoban's folders) and translates the symbols used in them."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from drc_lab.envs.specs.levels import SPLITS
from drc_lab.errors import ConfigError, UserError

SUFFIXES = (".txt", ".xsb", ".sok")
InvalidLevels = Literal["error", "skip"]
STANDARD = "#.$*@+ -_"  # the standard symbols, which others can be mapped to

Symbols = Mapping[str, str] | str | None


def level_folder(path: str | Path, difficulty: str | None = None, split: str | None = None) -> Path:
    """The file or folder that holds one part of the levels; Boxoban's are in folders ``difficulty/split``.

    Raises:
        ConfigError: a difficulty or split that does not exist, or one is needed and none is given; Boxoban's hard
            levels have no splits.
    """
    folder = Path(path)
    for key, name in (("difficulty", difficulty), ("split", split)):
        there = sorted(p.name for p in _within(folder) if p.is_dir()) if os.path.isdir(folder) else []
        if key == "difficulty" and set(there) & set(SPLITS):
            if name is not None:
                raise ConfigError(key, name, f"null: {folder} holds the splits {' | '.join(there)}")
            continue
        if name in there:
            folder /= name
        elif name is not None and os.path.exists(folder):
            raise ConfigError(key, name, f"{' | '.join(there)}, in {folder}" if there else f"null, for {folder}")
        elif there and not _files_in(folder):
            raise ConfigError(key, None, f"{' | '.join(there)}, in {folder}")
    return folder


def level_files(path: Path) -> list[Path]:
    """The path itself if it is a file, or the level files in the folder, sorted by name.

    Raises:
        UserError: there is no such path, or no level file in the folder.
    """
    if not os.path.exists(path):  # which no file can have whose name is too long, where Path.exists raises an error
        raise UserError(f"{path}: no such file or folder; python -m drc_lab task=fetch_levels gets Boxoban's levels")
    if not path.is_dir():
        return [path]  # its reader refuses what is no regular file
    if files := _files_in(path):
        return files
    there = ", ".join(sorted(p.name for p in _within(path))) or "nothing"
    raise UserError(f"{path}: found {there}, allowed: files that end in {', '.join(SUFFIXES)}")


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in _within(folder) if path.suffix in SUFFIXES and path.is_file())


def _within(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}") from None


def has_splits(path: str | Path, difficulty: str | None = None) -> bool:
    """Whether there is a folder for at least one split."""
    folder = Path(path, difficulty or "")
    return any((folder / split).is_dir() for split in SPLITS)


def translation(symbols: Symbols) -> dict[int, str]:
    """A table for `str.translate`, from the symbols of another alphabet to the standard ones.

    Args:
        symbols: a mapping such as {"X": "#", "&": "."}, or the same as text, "X=# &=."; a standard symbol that is
            mapped loses its standard meaning.

    Raises:
        ConfigError: about ``symbols``.
    """
    pairs: list[tuple[str, ...]] = list(symbols.items()) if isinstance(symbols, Mapping) else []
    if isinstance(symbols, str):
        pairs = [(word[0], word[2:]) if word[1:2] == "=" else (word, "") for word in symbols.split()]
    if not all(
        len(theirs) == 1 and not theirs.isspace() and ours in STANDARD and len(ours) == 1 for theirs, ours in pairs
    ):
        allowed = "pairs such as 'X=# &=.', each a symbol (no space) and that of # . $ * @ + - _ which it stands for"
        raise ConfigError("symbols", symbols, allowed)
    return {ord(theirs): ours for theirs, ours in pairs}

"""Banks: files of boards whose difficulty is known.

A bank is a compressed .npz file with N boards of H x W cells and up to R robots, all integers:

    version  []         1
    walls    [N, H, W]  bit d is set if there is a wall on side d (0 up, 1 down, 2 left, 3 right) of the cell
    robots   [N, R]     cell (row * W + column) of each robot, -1 where it is absent
    goal     [N]        cell
    target   [N]        index of the robot that has to stop on the goal
    optimal  [N]        moves of an optimal solution
    moved    [N]        smallest number of robots that move in an optimal solution; -1 if unknown

No two boards are the same up to symmetry.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drc_lab.archives import read_npz
from drc_lab.envs.levels import split_of
from drc_lab.envs.ricochet.identity import identities
from drc_lab.envs.ricochet.level import Boards
from drc_lab.envs.specs.levels import split_index
from drc_lab.envs.specs.ricochet import MAX_SIZE, ROBOT_NAMES, check_bank
from drc_lab.errors import UserError
from drc_lab.files import written

VERSION = 1
LARGEST = 2**31  # bytes that a bank may unpack to
AXES = {"version": 0, "walls": 3, "robots": 2, "goal": 1, "target": 1, "optimal": 1, "moved": 1}


@dataclass
class Bank(Boards):
    """Boards, and for each the smallest number of robots that move in an optimal solution (int64 [N], -1 unknown)."""

    moved: np.ndarray


def save_bank(path: str | Path, bank: Bank) -> None:
    """Writes a bank; the file is replaced atomically, so that it is never incomplete.

    Raises:
        CannotWrite: the file cannot be written.
    """
    arrays = {name: getattr(bank, name) for name in AXES if name != "version"}
    arrays = {name: array.astype(np.min_scalar_type(-int(array.max(initial=0)) - 1)) for name, array in arrays.items()}
    with written(Path(path)) as part, part.open("wb") as file:
        np.savez_compressed(file, version=VERSION, **arrays)


def read_bank(path: str | Path) -> Bank:
    """Reads and checks all boards of a bank.

    Raises:
        UserError: what is wrong with the file, in one line.
    """
    check_bank(path)
    try:
        arrays = read_npz(path, LARGEST, AXES)
    except UserError:
        raise
    except Exception as error:  # damaged files make zipfile and numpy raise errors of many types
        why = " ".join(str(error).split())
        raise UserError(f"{path}: not a whole bank file ({why}), allowed: a file of task=make_bank") from None
    missing = [name for name in AXES if name not in arrays]
    if missing:
        raise UserError(f"{path}: found no {missing[0]} in it, allowed: a file of task=make_bank")
    for name, axes in AXES.items():
        array = arrays[name]
        if array.dtype.kind not in "iu" or array.ndim != axes:
            raise UserError(f"{path}: found {name} {array.dtype} {list(array.shape)}, allowed: integers, {axes} axes")
    if arrays["version"] != VERSION:
        raise UserError(f"{path}: found version {arrays['version']}, allowed: {VERSION}")
    walls, *others = (arrays[name] for name in AXES if name != "version")
    bank = Bank(walls.astype(np.uint8), *(array.astype(np.int64) for array in others))
    if wrong := _wrong(bank):
        raise UserError(f"{path}: damaged, {wrong}")
    return bank


def load_bank(
    path: str | Path,
    min_optimal: int = 1,
    max_optimal: int | None = None,
    min_moved: int = 1,
    max_moved: int | None = None,
    split: str | None = None,
) -> Bank:
    """The boards of a bank that fit all of the following limits.

    Args:
        path: of the file.
        min_optimal, max_optimal: moves of an optimal solution; None is no upper limit.
        min_moved, max_moved: smallest number of robots that move in an optimal solution; any limit other than the
            defaults leaves out boards where it is unknown.
        split: "train", "valid" or "test", as for generated boards; None is all.

    Raises:
        UserError: the file is no bank, or none of its boards fits.
        ConfigError: an unknown split.
    """
    bank = read_bank(path)
    wanted = bank.optimal >= min_optimal
    if max_optimal is not None:
        wanted &= bank.optimal <= max_optimal
    if min_moved > 1 or max_moved is not None:
        wanted &= (bank.moved >= max(1, min_moved)) & (bank.moved <= (bank.moved if max_moved is None else max_moved))
    if split is not None:
        index = split_index(split)
        wanted &= np.array([split_of(number) == index for number in identities(bank)], bool)
    if not wanted.any():
        most, moved = "" if max_optimal is None else max_optimal, "" if max_moved is None else max_moved
        raise UserError(
            f"{path}: none of its {len(bank)} boards has optimal {min_optimal}..{most}, moved "
            f"{min_moved}..{moved}, split {split}"
        )
    return bank[wanted]


def _wrong(bank: Bank) -> str | None:
    """What is wrong with the boards, or None. It has to be caught here because compiled code checks nothing."""
    N, height, width = bank.walls.shape
    walls, cells = bank.walls, height * width
    sizes = {len(getattr(bank, name)) for name in AXES if name != "version"}
    if sizes != {N} or N == 0:
        return f"its arrays have {sorted(sizes)} boards"
    if not 1 <= min(height, width) <= max(height, width) <= MAX_SIZE:
        return f"its boards have {height} x {width} cells"
    if not 1 <= bank.robots.shape[1] <= len(ROBOT_NAMES):
        return f"its boards have {bank.robots.shape[1]} robots"
    up, down, left, right = (walls >> side & 1 for side in range(4))
    edges = (up[:, 0], down[:, -1], left[:, :, 0], right[:, :, -1])
    if walls.max() > 15 or not all(edge.all() for edge in edges):
        return "the border of a board is open"
    if (down[:, :-1] != up[:, 1:]).any() or (right[:, :, :-1] != left[:, :, 1:]).any():
        return "a wall has one side only"
    if bank.robots.min() < -1 or bank.robots.max() >= cells:
        return "a robot is off the board"
    standing = np.sort(bank.robots, axis=1)
    if ((standing[:, 1:] == standing[:, :-1]) & (standing[:, 1:] >= 0)).any():
        return "two robots share a cell"
    for name, least, most in (
        ("goal", 0, cells - 1),
        ("target", 0, bank.robots.shape[1] - 1),
        ("optimal", 1, 2**62),
        ("moved", -1, bank.robots.shape[1]),
    ):
        array = getattr(bank, name)
        if array.min() < least or array.max() > most:
            return f"{name} is out of range"
    targets = bank.robots[np.arange(N), bank.target]
    if (targets < 0).any() or (targets == bank.goal).any():
        return "a target robot is absent, or on its goal"
    return None

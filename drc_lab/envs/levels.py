"""How all games store levels: sets of arrays, and the split into train/valid/test.

The split is a property of the level itself, not of the order in which levels were drawn: each game reduces a level to
a 64-bit identity that its symmetries leave unchanged, and `split_of` maps that number to a split. Streams of any
seed and length are therefore disjoint across splits, and no mirrored or rotated copy of a training level is held out.
"""

from dataclasses import dataclass, fields
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from drc_lab.envs.specs.levels import SPLITS as SPLITS
from drc_lab.errors import ConfigError
from drc_lab.numerics import jit


@jit
def mix64(x):
    """A bijective scramble of a uint64 (the finaliser of splitmix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@jit
def hashed(seed, numbers):
    """Hashes each of ``numbers`` (uint64 [n]) with a seed. Returns uint64 [n], each entry a function of its own number
    and the seed alone."""
    drawn = np.empty(len(numbers), np.uint64)
    for i in range(len(numbers)):
        drawn[i] = mix64(mix64(np.uint64(seed)) + numbers[i])
    return drawn


@jit
def split_of(identity):
    """Index into SPLITS of a level's identity: 10% valid, 10% test, the rest train."""
    bucket = mix64(identity + np.uint64(0x9E3779B97F4A7C15)) % np.uint64(10)
    return 1 if bucket == 0 else 2 if bucket == 1 else 0


@jit
def splits_of(identities):
    """`split_of` of each of ``identities`` (uint64 [n]): int64 [n]."""
    splits = np.empty(len(identities), np.int64)
    for i in range(len(identities)):
        splits[i] = split_of(identities[i])
    return splits


@jit
def _digests(rows):
    """uint64 [n]: a hash of each row of ``rows`` (uint8 [n, bytes])."""
    digests = np.empty(len(rows), np.uint64)
    for i in range(len(rows)):
        digest = np.uint64(0)
        for byte in rows[i]:
            digest = mix64(digest + np.uint64(byte) + np.uint64(1))
        digests[i] = digest
    return digests


def drawn(available: int, count: int, seed: int) -> np.ndarray:
    """int64 [count]: indices of levels, drawn without repetition from ``available``; a ConfigError if that is fewer."""
    if not 1 <= count <= available:
        raise ConfigError("num_levels", count, f"1 to {available}, the number of levels there are, or null for all")
    return np.random.default_rng(seed).permutation(available)[:count]


@dataclass
class LevelSet:
    """N levels of one game and size, as arrays that all have N as their first axis. Games add the fields."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def __getitem__(self, index: Any) -> Self:
        """Some of the levels, by slice or index array."""
        return type(self)(*(getattr(self, f.name)[index] for f in fields(self)))

    @property
    def nbytes(self) -> int:
        """Size of all arrays together, in bytes."""
        return sum(getattr(self, f.name).nbytes for f in fields(self))

    def pick(self, rows: np.ndarray) -> "tuple[Self, np.ndarray]":
        """A set in memory, and the rows in it that hold levels ``rows`` (int64 [n]) of this one.

        Here both are unchanged, because all levels are in memory already.
        """
        return self, rows

    def sample(self, count: int | None, seed: int) -> Self:
        """``count`` levels drawn without repetition, in the order of the draw; None returns the whole set unchanged.

        Raises:
            ConfigError: the set has fewer levels.
        """
        if count is None:
            return self
        return self[drawn(len(self), count, seed)]

    @classmethod
    def concat(cls, sets: "list[Self]") -> Self:
        return cls(*(np.concatenate([getattr(s, f.name) for s in sets]) for f in fields(cls)))


Levels = TypeVar("Levels", bound=LevelSet)
Made = TypeVar("Made", bound=LevelSet, covariant=True)


class LevelSource(Protocol[Made]):
    """A `LevelSet`, or a set whose levels are read from files when they are needed."""

    def __len__(self) -> int: ...

    def pick(self, rows: np.ndarray) -> tuple[Made, np.ndarray]:
        """A set in memory, and the rows in it that hold levels ``rows`` (int64 [n]) of this one."""


def identities(levels: LevelSet) -> np.ndarray:
    """uint64 [N]: a number for each level that is the same for equal levels. All arrays count.

    A game whose levels have symmetries computes it from what they leave unchanged, so that no copy is held out.
    """
    arrays = [np.ascontiguousarray(getattr(levels, f.name)) for f in fields(levels)]
    return _digests(np.concatenate([a.reshape(len(levels), -1).view(np.uint8) for a in arrays], axis=1))

"""Levels as every game keeps them: sets of arrays, streams that hand them out, and the split into train/valid/test.

The split is a property of the level itself, not of the order in which levels were drawn: each game reduces a level to
a 64-bit identity that its symmetries leave unchanged, and `split_of` maps that number to a split. Streams of any
seed and length are therefore disjoint across splits, and no mirrored or turned copy of a training level is held out.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Generic, Self, TypeVar

import numpy as np

from drc_lab.errors import ConfigError
from drc_lab.numerics import jit

SPLITS = ("train", "valid", "test")
ORDERS = ("shuffled", "sequential")


@jit
def mix64(x):
    """A bijective scramble of a uint64 (the finaliser of splitmix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@jit
def split_of(identity):
    """Index into SPLITS of a level's identity: 10% valid, 10% test, the rest train."""
    bucket = mix64(identity + np.uint64(0x9E3779B97F4A7C15)) % np.uint64(10)
    return 1 if bucket == 0 else 2 if bucket == 1 else 0


def split_index(split: str, key: str = "split") -> int:
    """Index of a split's name, or a ConfigError about ``key``."""
    if split not in SPLITS:
        raise ConfigError(key, split, " | ".join(SPLITS))
    return SPLITS.index(split)


@dataclass
class LevelSet:
    """N levels of one game and size, as arrays that all have N as their first axis. Games add the fields."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def __getitem__(self, index: Any) -> Self:
        """Some of the levels, by slice or index array."""
        return type(self)(*(getattr(self, f.name)[index] for f in fields(self)))

    @classmethod
    def concat(cls, sets: "list[Self]") -> Self:
        return cls(*(np.concatenate([getattr(s, f.name) for s in sets]) for f in fields(cls)))


Levels = TypeVar("Levels", bound=LevelSet)


class LevelStream(ABC, Generic[Levels]):
    """Hands out levels one after the other; its whole state is a few integers."""

    @abstractmethod
    def reseed(self, seed: int) -> None:
        """Starts over from a seed."""

    @abstractmethod
    def take(self, count: int) -> tuple[np.ndarray, Levels]:
        """The next ``count`` levels and their ids (int64 [count])."""

    @abstractmethod
    def get_state(self) -> dict[str, int]:
        """Where the stream is."""

    @abstractmethod
    def set_state(self, state: dict[str, int]) -> None:
        """Goes back to where `get_state` was called."""


class GeneratedLevels(LevelStream[Levels]):
    """An endless stream from a generator, made in chunks so that any place in it can be found again.

    Args:
        generate: (numpy Generator, count) -> count levels.
        seed: of the stream; chunk k is generated from (seed, k) alone.
        chunk: levels made at a time.
    """

    def __init__(self, generate: Callable[[np.random.Generator, int], Levels], seed: int = 0, chunk: int = 1024):
        self.generate, self.seed, self.chunk = generate, seed, chunk
        self.position = 0
        self._made: tuple[int, int, Levels] | None = None

    def reseed(self, seed: int) -> None:
        self.seed, self.position = seed, 0

    def take(self, count: int) -> tuple[np.ndarray, Levels]:
        ids = np.arange(self.position, self.position + count)
        parts = []
        while self.position <= ids[-1]:
            number, offset = divmod(self.position, self.chunk)
            part = self._chunk(number)[offset : offset + int(ids[-1]) + 1 - self.position]
            parts.append(part)
            self.position += len(part)
        return ids, parts[0] if len(parts) == 1 else type(parts[0]).concat(parts)

    def _chunk(self, number: int) -> Levels:
        if self._made is None or self._made[:2] != (self.seed, number):
            made = self.generate(np.random.default_rng([self.seed, number]), self.chunk)
            self._made = (self.seed, number, made)
        return self._made[2]

    def get_state(self) -> dict[str, int]:
        return {"seed": self.seed, "position": self.position}

    def set_state(self, state: dict[str, int]) -> None:
        self.seed, self.position = state["seed"], state["position"]


class FixedLevels(LevelStream[Levels]):
    """A given set, over and over: in its order, or in a new order each time round.

    Args:
        levels: the set.
        order: "sequential" or "shuffled".
        seed: of the orders.
    """

    def __init__(self, levels: Levels, order: str = "shuffled", seed: int = 0):
        if order not in ORDERS:
            raise ConfigError("order", order, " | ".join(ORDERS))
        if not len(levels):
            raise ConfigError("levels", 0, "at least one level")
        self.levels, self.order, self.seed = levels, order, seed
        self.position = 0
        self._orders: dict[int, np.ndarray] = {}

    def reseed(self, seed: int) -> None:
        self.seed, self.position = seed, 0
        self._orders.clear()

    def take(self, count: int) -> tuple[np.ndarray, Levels]:
        places = np.arange(self.position, self.position + count)
        self.position += count
        ids = places % len(self.levels)
        if self.order == "shuffled":
            rounds = places // len(self.levels)
            ids = np.concatenate([self._order(int(r))[ids[rounds == r]] for r in np.unique(rounds)])
        return ids, self.levels[ids]

    def _order(self, number: int) -> np.ndarray:
        if number not in self._orders:
            order = np.random.default_rng([self.seed, number]).permutation(len(self.levels))
            self._orders = {k: v for k, v in self._orders.items() if k == number - 1} | {number: order}
        return self._orders[number]

    def get_state(self) -> dict[str, int]:
        return {"seed": self.seed, "position": self.position}

    def set_state(self, state: dict[str, int]) -> None:
        self.reseed(state["seed"])
        self.position = state["position"]


def draw_distinct(generate: Callable[[np.random.Generator, int], Levels], count: int, seed: int,
                  identity: Callable[[Levels], np.ndarray]) -> Levels:  # fmt: skip
    """A set of ``count`` levels, no two of them the same up to symmetry.

    Raises:
        ConfigError: the generator's settings do not have that many.
    """
    stream, kept, seen = GeneratedLevels(generate, seed, chunk=max(64, min(count, 1024))), [], set[int]()
    for _ in range(20 + 4 * count // stream.chunk):
        _, levels = stream.take(stream.chunk)
        fresh = []
        for i, number in enumerate(identity(levels).tolist()):
            if number not in seen and len(seen) < count:
                seen.add(number)
                fresh.append(i)
        kept.append(levels[np.array(fresh, dtype=np.int64)])
        if len(seen) == count:
            return type(kept[0]).concat(kept)
    raise ConfigError("num_levels", count, f"at most about {len(seen)}: there are no more distinct levels like these")

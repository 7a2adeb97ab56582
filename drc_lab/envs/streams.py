"""Streams that deal out levels: endless ones from a generator, and sets that are repeated."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic

import numpy as np

from drc_lab.envs.levels import Levels, LevelSource, hashed, identities, splits_of
from drc_lab.envs.saved import saved_number
from drc_lab.envs.specs.game import GameSpec
from drc_lab.envs.specs.levels import split_index
from drc_lab.errors import ConfigError, note
from drc_lab.memory import check_memory
from drc_lab.progress import working

BYTES_OF_A_NUMBER = 100  # memory that one number takes in a Python set
LONG = 60.0  # seconds; the user is told beforehand about a longer wait
TRIES = 100  # chunks of generated levels without one of the wanted split, before it counts as empty

Generate = Callable[[np.random.Generator, int], Levels]  # numpy Generator, count -> count levels


class LevelStream(ABC, Generic[Levels]):
    """Deals out levels one after the other; its whole state is a few numbers."""

    @abstractmethod
    def reseed(self, seed: int) -> None:
        """Starts over from a seed."""

    @abstractmethod
    def take(self, count: int) -> tuple[np.ndarray, Levels, np.ndarray]:
        """The next ``count`` levels: their ids (int64 [count]), a set that holds them, and their rows in it."""

    def record(self, ids: np.ndarray, solved: np.ndarray) -> None:
        """Receives how episodes on levels of this stream ended (ids int64 [n], solved bool [n]), for a curriculum."""

    def metrics(self) -> dict[str, float]:
        """Values to log about the stream, by metric name."""
        return {}

    def skip_to(self, position: int) -> None:
        """Continues from this position in the stream."""
        self.set_state(self.get_state() | {"position": position})

    @abstractmethod
    def get_state(self) -> dict[str, Any]:
        """The seed, the position and whatever else the future of the stream depends on, as plain types."""

    @abstractmethod
    def set_state(self, state: dict[str, Any]) -> None:
        """Restores a state that `get_state` returned."""


class GeneratedLevels(LevelStream[Levels]):
    """An endless stream from a generator, made in chunks so that any position in it can be made again.

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

    def take(self, count: int) -> tuple[np.ndarray, Levels, np.ndarray]:
        ids = np.arange(self.position, self.position + count)
        number, offset = divmod(self.position, self.chunk)
        self.position += count
        if offset + count <= self.chunk:
            return ids, self._chunk(number), np.arange(offset, offset + count)
        last = (self.position - 1) // self.chunk
        parts = [self._chunk(k) for k in range(number, last + 1)]
        return ids, type(parts[0]).concat(parts), np.arange(offset, offset + count)

    def _chunk(self, number: int) -> Levels:
        if self._made is None or self._made[:2] != (self.seed, number):
            made = self.generate(np.random.default_rng([self.seed, number]), self.chunk)
            self._made = (self.seed, number, made)
        return self._made[2]

    def get_state(self) -> dict[str, int]:
        return {"seed": self.seed, "position": self.position}

    def set_state(self, state: dict[str, int]) -> None:
        self.seed, self.position = saved_number(state, "seed"), saved_number(state, "position")


class FixedLevels(LevelStream[Levels]):
    """A given set, repeated endlessly: always in its own order, or shuffled anew for each repetition.

    Args:
        levels: the set.
        order: "sequential" or "shuffled".
        seed: of the shuffling.
    """

    def __init__(self, levels: Levels | LevelSource[Levels], order: str = "shuffled", seed: int = 0):
        if not len(levels):
            raise ConfigError("levels", 0, "at least one level")
        self.levels, self.order, self.seed = levels, order, seed
        self.position = 0
        self._made: tuple[int, int, np.ndarray] | None = None

    def reseed(self, seed: int) -> None:
        self.seed, self.position = seed, 0

    def take(self, count: int) -> tuple[np.ndarray, Levels, np.ndarray]:
        number, offset = divmod(self.position, len(self.levels))
        self.position += count
        ids = self._order(number)[offset : offset + count]
        while len(ids) < count:
            number += 1
            ids = np.concatenate([ids, self._order(number)[: count - len(ids)]])
        return ids, *self.levels.pick(ids)

    def _order(self, number: int) -> np.ndarray:
        if self.order == "sequential":
            number = 0
        if self._made is None or self._made[:2] != (self.seed, number):
            order = np.arange(len(self.levels))
            if self.order == "shuffled":
                order = np.random.default_rng([self.seed, number]).permutation(len(self.levels))
            self._made = (self.seed, number, order)
        return self._made[2]

    def get_state(self) -> dict[str, int]:
        return {"seed": self.seed, "position": self.position}

    def set_state(self, state: dict[str, int]) -> None:
        self.seed, self.position = saved_number(state, "seed"), saved_number(state, "position")


class AugmentedLevels(LevelStream[Levels]):
    """Another stream's levels, each rotated, mirrored or recoloured at random.

    Args:
        stream: the other stream.
        augment: (a random uint64 for each level, n levels) -> n levels of the same shape.
    """

    def __init__(self, stream: LevelStream[Levels], augment: Callable[[np.ndarray, Levels], Levels]):
        self.stream, self.augment = stream, augment
        self.seed = self.position = 0

    def reseed(self, seed: int) -> None:
        self.stream.reseed(seed)
        self.seed, self.position = seed, 0

    def take(self, count: int) -> tuple[np.ndarray, Levels, np.ndarray]:
        ids, levels, rows = self.stream.take(count)
        place = np.arange(self.position, self.position + count).astype(np.uint64)
        self.position += count
        # Not the seed itself: step limits and curriculum stages are hashes of it and of the same positions.
        return ids, self.augment(hashed(self.seed + 1, place), levels[rows]), np.arange(count)

    def record(self, ids: np.ndarray, solved: np.ndarray) -> None:
        self.stream.record(ids, solved)

    def metrics(self) -> dict[str, float]:
        return self.stream.metrics()

    def get_state(self) -> dict[str, Any]:
        return {"seed": self.seed, "position": self.position, "stream": self.stream.get_state()}

    def skip_to(self, position: int) -> None:
        self.position = position
        self.stream.skip_to(position)

    def set_state(self, state: dict[str, Any]) -> None:
        self.seed, self.position = saved_number(state, "seed"), saved_number(state, "position")
        self.stream.set_state(state["stream"])


def draw_distinct(
    generate: Callable[[np.random.Generator, int], Levels],
    count: int,
    seed: int,
    identity: Callable[[Levels], np.ndarray],
) -> Levels:
    """A set of ``count`` generated levels, no two of them the same up to symmetry.

    Raises:
        ConfigError: the generator cannot make that many with its settings, or they do not fit into memory.
    """
    stream, kept, seen = GeneratedLevels(generate, seed, chunk=max(64, min(count, 1024))), [], set[int]()
    chunks, began = 20 + 4 * count // stream.chunk, 0.0
    with working(f"drawing {count:,} distinct levels", count) as advance:
        for n in range(chunks):
            if n == 1:  # chunk 0 includes compiling the generator
                began = time.monotonic()
            _, levels, rows = stream.take(stream.chunk)
            levels, before = levels[rows], len(seen)
            fresh = []
            for i, number in enumerate(identity(levels).tolist()):
                if number not in seen and len(seen) < count:
                    seen.add(number)
                    fresh.append(i)
            kept.append(levels[np.array(fresh, dtype=np.int64)])
            advance(len(seen) - before)
            if n == 0:
                check_memory("num_levels", count, 2 * levels.nbytes // len(levels) + BYTES_OF_A_NUMBER)  # 2: concat
            elif n == 1:
                more = min(chunks, count / max(1, len(seen) - before))
                seconds = int((time.monotonic() - began) * more)
                if seconds > LONG:
                    note(f"drawing {count:,} distinct levels takes about {timedelta(seconds=seconds)}; Ctrl-C stops it")
            if len(seen) == count:
                return type(kept[0]).concat(kept)
    raise ConfigError("num_levels", count, f"at most about {len(seen)}: there are no more distinct levels like these")


def generated_levels(
    generate: Callable[[np.random.Generator, int], Levels],
    num_levels: int | None,
    level_seed: int,
    order: str,
    identity: Callable[[Levels], np.ndarray],
) -> LevelStream[Levels]:
    """An endless stream from a generator, or, with ``num_levels``, a fixed set of distinct levels.

    Args:
        level_seed: the seed of the fixed set, which does not depend on the env's seed.
        order: of the fixed set.
    """
    if num_levels is None:
        return GeneratedLevels(generate)
    return FixedLevels(draw_distinct(generate, num_levels, level_seed, identity), order)


@dataclass(frozen=True)
class OfSplit(Generic[Levels]):
    """A generator of levels of one split: of those that another one makes it leaves out the rest.

    Args:
        generate: makes levels of any split.
        split: "train", "valid" or "test".
        identity: of the levels, see `drc_lab.envs.levels.identities`.
    """

    generate: Generate[Levels]
    split: str
    identity: Callable[[Levels], np.ndarray]

    def __call__(self, rng: np.random.Generator, count: int) -> Levels:
        wanted, kept, found, tries = split_index(self.split), [], 0, 0
        while found < count:
            made = self.generate(rng, count)
            kept.append(made[splits_of(self.identity(made)) == wanted])
            found, tries = found + len(kept[-1]), 0 if len(kept[-1]) else tries + 1
            if tries == TRIES:
                allowed = f"a split that has levels, as none of {TRIES * count:,} is of this one"
                raise ConfigError("split", self.split, allowed)
        return type(kept[0]).concat(kept)[:count]


def level_stream(
    spec: GameSpec,
    generate: Generate[Levels],
    identity: Callable[[Levels], np.ndarray] = identities,
    augment: Callable[[np.ndarray, Levels], Levels] | None = None,
) -> LevelStream[Levels]:
    """The levels that a game's arguments ask for: of one split, endless or a fixed set, maybe augmented.

    Args:
        spec: the arguments.
        generate: (numpy Generator, count) -> count levels, of any split.
        identity: decides which levels are the same one, and with that their split.
        augment: see `AugmentedLevels`; for games whose spec has a field ``augment``, where that is true.

    Raises:
        ConfigError: there are no levels of that split, or not as many.
    """
    of_split = OfSplit(generate, spec.split, identity)
    stream = generated_levels(of_split, spec.num_levels, spec.level_seed, spec.order, identity)
    if augment is not None and getattr(spec, "augment", False):
        return AugmentedLevels(stream, augment)
    return stream

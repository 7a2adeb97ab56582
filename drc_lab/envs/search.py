"""What the solvers of all games share: their three answers, and many searches at a time."""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

UNSOLVABLE, LIMIT = -1, -2  # in place of a length: proven, or not known

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class SearchLimitReached(Exception):
    """The search stopped at its limit: the level is neither solved nor proven unsolvable."""


def in_threads(function: Callable[[Item], Answer], items: Collection[Item], threads: int) -> Iterator[Answer]:
    """The function of each item, in order; compiled code runs in several threads. Ctrl-C drops what is not begun."""
    if threads == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(function, items)

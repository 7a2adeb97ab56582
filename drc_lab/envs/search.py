"""Shared by the solvers of all games: the codes of their answers, and searches in parallel."""

from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

UNSOLVABLE, LIMIT = -1, -2  # in place of a length: proven unsolvable, or no answer within the limit

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class SearchLimitReached(Exception):
    """The search stopped at its limit: the level is neither solved nor proven unsolvable."""


def in_threads(function: Callable[[Item], Answer], items: Collection[Item], threads: int) -> Iterator[Answer]:
    """Yields the function's result for each item, in order. Only compiled code runs in parallel. Ctrl-C cancels the
    items that have not begun."""
    if threads == 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(function, items)

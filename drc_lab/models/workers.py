"""Threads that each take a part of a batch through a whole sequence."""

import ctypes
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

import torch

Result = TypeVar("Result")
WORK_FOR_A_THREAD = 5_000_000  # multiply-adds; below, a thread takes longer to be woken than to do them
_current_core = getattr(ctypes.CDLL(None), "sched_getcpu", None) if hasattr(os, "sched_setaffinity") else None


def parts_of(batch: int, work: int) -> list[slice]:
    """The parts of a batch for `in_workers`.

    Args:
        batch: B.
        work: multiply-adds of one sample.
    """
    parts = min(torch.get_num_threads(), batch, max(1, batch * work // WORK_FOR_A_THREAD))
    return [slice(a, b) for a, b in pairwise(batch * i // parts for i in range(parts + 1))] if batch else []


def in_workers(calls: list[Callable[[], Result]]) -> list[Result]:
    """Calls them all, without gradients: the first in this thread, the others in others, as many as torch may have.

    They are to be compiled code that lets go of Python's lock, and does not start threads. Results are in order.
    """
    if len(calls) <= 1 or torch.get_num_threads() == 1:
        return [call() for call in calls]
    workers = _workers(torch.get_num_threads() - 1)
    workers.move_apart()
    others = [workers.pool.submit(call) for call in calls[1:]]
    return [calls[0](), *(other.result() for other in others)]


class _Workers:
    """Threads beside the one that asks for them."""

    def __init__(self, threads: int):
        self.ids: list[int] = []
        self.pool = ThreadPoolExecutor(threads, "drc_lab", lambda: self.ids.append(threading.get_native_id()))
        self._placed = (-1, 0)  # the core that they keep away from, and how many do

    def move_apart(self) -> None:
        """Keeps them away from the core that this thread runs on.

        On a virtual machine Linux takes a core that sleeps for one that is not there, and wakes a thread on the core
        of the thread that wakes it: the two would take turns for milliseconds, beside an idle core.
        """
        if _current_core is None or self._placed == (place := (_current_core(), len(self.ids))):
            return
        others = os.sched_getaffinity(0) - {place[0]}
        for thread in self.ids if others else ():
            os.sched_setaffinity(thread, others)
        self._placed = place


@cache
def _workers(threads: int) -> _Workers:
    return _Workers(threads)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.cache_clear)  # threads stay behind in the parent

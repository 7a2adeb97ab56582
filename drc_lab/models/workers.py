"""Worker threads, each of which runs a whole sequence for a part of the batch."""

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
WORK_FOR_A_THREAD = 5_000_000  # multiply-adds; with fewer, waking a thread takes longer than the work itself
_current_core = getattr(ctypes.CDLL(None), "sched_getcpu", None) if hasattr(os, "sched_setaffinity") else None


def parts_of(batch: int, work: int) -> list[slice]:
    """Splits a batch into parts of nearly equal size, one for each call of `in_workers`.

    Args:
        batch: B.
        work: multiply-adds per sample.
    """
    parts = min(torch.get_num_threads(), batch, max(1, batch * work // WORK_FOR_A_THREAD))
    return [slice(a, b) for a, b in pairwise(batch * i // parts for i in range(parts + 1))] if batch else []


def in_workers(calls: list[Callable[[], Result]]) -> list[Result]:
    """Runs the calls in parallel and returns their results in order.

    The first call runs in this thread, the others in a pool, up to torch's number of threads in all. The calls must be
    compiled code that releases Python's global interpreter lock and starts no threads, and must not need gradients.
    """
    if len(calls) <= 1 or torch.get_num_threads() == 1:
        return [call() for call in calls]
    workers = _workers(torch.get_num_threads() - 1)
    workers.move_apart()
    others = [workers.pool.submit(call) for call in calls[1:]]
    return [calls[0](), *(other.result() for other in others)]


class _Workers:
    """A pool of threads, in addition to the calling one."""

    def __init__(self, threads: int):
        self.ids: list[int] = []
        self.pool = ThreadPoolExecutor(threads, "drc_lab", lambda: self.ids.append(threading.get_native_id()))
        self._placed = (-1, 0)  # the core that the threads avoid, and the number of threads this was set for

    def move_apart(self) -> None:
        """Excludes the core that the calling thread runs on from the cores of the pool's threads.

        On a virtual machine Linux can mistake a sleeping core for an absent one, and wakes a thread on the same core
        as the thread that woke it. The two would then take turns for milliseconds while another core is idle.
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
    os.register_at_fork(after_in_child=_workers.cache_clear)  # a forked child does not inherit the threads

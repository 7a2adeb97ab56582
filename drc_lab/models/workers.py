"""Threads that each take a part of a batch through a whole sequence."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from threading import Barrier
from typing import TypeVar

import torch

Result = TypeVar("Result")
WORK_FOR_A_THREAD = 5_000_000  # multiply-adds; below, a thread takes longer to be woken than to do them


def parts_of(batch: int, work: int) -> list[slice]:
    """The parts of a batch for `in_workers`.

    Args:
        batch: B.
        work: multiply-adds of one sample.
    """
    parts = min(torch.get_num_threads(), batch, max(1, batch * work // WORK_FOR_A_THREAD))
    return [slice(a, b) for a, b in pairwise(batch * i // parts for i in range(parts + 1))] if batch else []


def in_workers(calls: list[Callable[[], Result]]) -> list[Result]:
    """Calls them all, without gradients, in one thread for each of torch's; results in order."""
    if len(calls) == 1 or torch.get_num_threads() == 1:
        return [call() for call in calls]
    inference = torch.is_inference_mode_enabled()

    def run(call: Callable[[], Result]) -> Result:
        with torch.inference_mode(inference), torch.no_grad():  # modes are a thread's own
            return call()

    return list(_pool(torch.get_num_threads()).map(run, calls))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    pool = ThreadPoolExecutor(threads, "drc_lab", initializer=torch.set_num_threads, initargs=(1,))
    together = Barrier(threads)  # so that each thread has started
    for _ in pool.map(lambda _: together.wait(), range(threads)):
        pass
    torch.set_num_threads(threads)  # the initializer also changed what is shared by threads yet to come
    return pool


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads stay behind in the parent

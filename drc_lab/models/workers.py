"""Threads that each take a part of a batch through a whole sequence."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from threading import Barrier
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")
# Of one layer's hidden state: more do not fit into a core's cache when all ticks are kept for the backward pass.
FEATURES_OF_A_SLICE = {"kept": 51_200, "passing": 204_800}
WORK_FOR_A_THREAD = 50_000_000  # below it, threads that wait for Python's lock cost more than they give


def slices(like: Tensor, batch: int, features: int, work: int, kept: bool) -> list[slice]:
    """The parts of a batch for `in_workers`: one off the CPU, else as many as threads or caches ask for.

    Args:
        like: a tensor of the device.
        batch: B.
        features: of one sample's hidden state, P * C.
        work: multiply-adds of one sample's drive in one step, as a measure of what a thread would have to do.
        kept: whether what a call computes is kept for a backward pass.
    """
    threads = min(torch.get_num_threads(), max(1, batch * work // WORK_FOR_A_THREAD))
    most = threads * max(
        1, FEATURES_OF_A_SLICE["kept" if kept else "passing"] // features
    )  # samples that all threads have under way
    parts = 1 if like.device.type != "cpu" or not batch else min(batch, threads * -(-batch // most))
    return [slice(a, b) for a, b in pairwise(batch * i // parts for i in range(parts + 1))]


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

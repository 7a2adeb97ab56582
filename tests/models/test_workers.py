"""Threads that take parts of a batch."""

import os
import threading

import pytest
import torch

from drc_lab.models import workers
from drc_lab.models.workers import in_workers


@pytest.fixture
def three_threads():
    torch.set_num_threads(3)
    workers._workers.cache_clear()
    yield
    workers._workers.cache_clear()


def test_parts_run_at_once_and_come_back_in_order(three_threads):
    together = threading.Barrier(3, timeout=60)

    def part(number):
        together.wait()  # breaks unless the others are running
        return number, threading.get_ident()

    numbers, threads = zip(*in_workers([lambda number=number: part(number) for number in range(3)]), strict=True)
    assert numbers == (0, 1, 2)
    assert threads[0] == threading.get_ident()
    assert len(set(threads)) == 3


def test_an_error_in_any_part_is_raised(three_threads):
    for number in range(3):
        calls = [lambda wrong=wrong: 1 // (1 - wrong) for wrong in (number == n for n in range(3))]
        with pytest.raises(ZeroDivisionError):
            in_workers(calls)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2, reason="one core")
def test_threads_keep_away_from_the_core_of_the_one_that_wakes_them(three_threads):
    allowed = os.sched_getaffinity(0)
    try:
        for core in sorted(allowed)[:2]:
            os.sched_setaffinity(threading.get_native_id(), {core})  # of this thread alone
            for _ in range(2):  # threads start with the first
                together = threading.Barrier(3, timeout=60)
                in_workers([together.wait] * 3)
            os.sched_setaffinity(threading.get_native_id(), allowed)
            in_workers([lambda: None] * 3)
            places = [os.sched_getaffinity(thread) for thread in workers._workers(2).ids]
            assert len(places) == 2
            assert all(len(place) == len(allowed) - 1 for place in places)
    finally:
        os.sched_setaffinity(threading.get_native_id(), allowed)

"""Peak memory of a forward and backward pass; on a CPU, each measurement runs in a process of its own."""

import ctypes
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from drc_lab.app.specs import PolicySpeedSpec
from drc_lab.memory import PROCESS, bytes_of_process, reset_peak
from drc_lab.process import start_process
from drc_lab.speed.policy_runs import implementations


def can_measure(device: str) -> bool:
    """Whether the peak memory of a part of a process can be measured: on a GPU, and on Linux."""
    return device == "cuda" or (PROCESS / "clear_refs").exists()


def peak_memory(spec: PolicySpeedSpec, name: str, batch: int) -> int:
    """Returns the bytes that a pass of one of the `implementations` adds at its peak.

    On a CPU it is measured in a new process with as many torch threads as this one.
    """
    if spec.device == "cuda":
        return _on_gpu(spec, name, batch)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_measure, spec, name, batch, torch.get_num_threads()).result()


def _measure(spec: PolicySpeedSpec, name: str, batch: int, threads: int) -> int:
    start_process(0, threads)  # gives the allocator the same settings as a training
    subject = implementations(spec)[name]
    subject.learning(1, 1)()  # warm-up: compiled code and libraries do not count
    run = subject.learning(spec.steps, batch)
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)  # otherwise memory that the warm-up freed would be reused without counting
    reset_peak()
    before = bytes_of_process("VmRSS")
    run()
    return bytes_of_process("VmHWM") - before


def _on_gpu(spec: PolicySpeedSpec, name: str, batch: int) -> int:
    run = implementations(spec)[name].learning(spec.steps, batch)
    run()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    return torch.cuda.max_memory_allocated() - before

"""How much memory a forward and backward pass adds to a process at its peak, each measured in a process of its own."""

import ctypes
import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from drc_lab.app.specs import PolicySpeedSpec
from drc_lab.process import start_process
from drc_lab.speed.policy_runs import implementations

PROCESS = Path("/proc/self")


def can_measure(device: str) -> bool:
    """Whether the peak of a part of a process's life can be had: on a GPU, and on Linux."""
    return device == "cuda" or (PROCESS / "clear_refs").exists()


def peak_memory(spec: PolicySpeedSpec, name: str, batch: int) -> int:
    """Bytes that one of the `implementations` adds at its peak; on a CPU in a fresh process with as many threads."""
    if spec.device == "cuda":
        return _on_gpu(spec, name, batch)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_measure, spec, name, batch, torch.get_num_threads()).result()


def _measure(spec: PolicySpeedSpec, name: str, batch: int, threads: int) -> int:
    start_process(0, threads)  # the allocator's settings are those of a training
    subject = implementations(spec)[name]
    subject.learning(1, 1)()  # compiled code and libraries are no part of it
    run = subject.learning(spec.steps, batch)
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)  # what the first pass freed would be used again, and not seen
    (PROCESS / "clear_refs").write_text("5")  # VmHWM starts over (proc(5))
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def _on_gpu(spec: PolicySpeedSpec, name: str, batch: int) -> int:
    run = implementations(spec)[name].learning(spec.steps, batch)
    run()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    return torch.cuda.max_memory_allocated() - before


def _status(key: str) -> int:
    found = re.search(rf"^{key}:\s*(\d+) kB$", (PROCESS / "status").read_text(), re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])

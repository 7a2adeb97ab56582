"""Process-wide settings: seeds, threads, memory, and what libraries print."""

import ctypes
import gc
import logging
import os
import platform
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drc_lab.errors import ConfigError
from drc_lab.process_spec import Precision, ProcessSpec


def start_process(
    seed: int, threads: int | None, matmul_precision: Precision = "highest", deterministic: bool = False
) -> None:
    """Seeds all global generators and configures torch.

    Torch's default number of threads includes cores that this process may not use, so it is always set.

    Args:
        seed: 0 to 2^32 - 1.
        threads: torch's threads; None is OMP_NUM_THREADS if it is set (torchrun and joblib do), else one for each core
            that this process may use.
        matmul_precision: precision of float32 matrix products and convolutions: "highest" is float32, "high" TF32 on
            GPUs, "medium" bfloat16 where the hardware supports it (see `torch.set_float32_matmul_precision`).
        deterministic: whether torch may use only algorithms that give the same result each time, also on GPUs.
    """
    ProcessSpec(seed, threads, matmul_precision, deterministic)  # checks them
    seed_everywhere(seed)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # else Lightning divides the cores among the ranks
    torch.set_num_threads(threads_of_environment() or allowed)
    if deterministic != torch.are_deterministic_algorithms_enabled():  # the import that it needs takes seconds
        torch.use_deterministic_algorithms(deterministic)
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is initialised
        torch.backends.cudnn.benchmark = False
    torch.set_float32_matmul_precision(matmul_precision)
    torch.backends.cudnn.allow_tf32 = matmul_precision != "highest"
    reuse_freed_memory()


def threads_of_environment() -> int | None:
    """The threads that OMP_NUM_THREADS asks for, the first number if it has one for each level; None if it is not set.

    Raises:
        ConfigError: it is no number.
    """
    if not (given := os.environ.get("OMP_NUM_THREADS", "").strip()):
        return None
    if not (first := given.split(",")[0].strip()).isdecimal() or int(first) < 1:
        raise ConfigError("OMP_NUM_THREADS", given, "a number of threads, from 1 on")
    return int(first)


def seed_everywhere(seed: int) -> None:
    """Seeds the global generators of torch, numpy and Python, like Lightning, whose import would take seconds."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the global one is meant
    torch.manual_seed(seed)


def random_states() -> dict[str, Any]:
    """The states of all global generators, as tensors and plain types."""
    kind, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 - the global one is meant
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    states = {"torch": torch.get_rng_state(), "cuda": cuda, "python": random.getstate()}
    return states | {"numpy": (kind, [int(key) for key in keys], *rest)}


def set_random_states(states: dict[str, Any]) -> None:
    """Restores states from `random_states`."""
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"][: torch.cuda.device_count()])
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Restores the states of the global generators when the context ends."""
    states = random_states()
    try:
        yield
    finally:
        set_random_states(states)


@contextmanager
def process_kept() -> Iterator[None]:
    """Restores process-wide settings when the context ends.

    These are the states of random generators, environment variables, torch's settings, warning filters, the levels of
    loggers that existed before, and whether objects are frozen for the garbage collector. Imported modules stay, and so
    does how glibc reuses memory.
    """
    environment, threads, precision = dict(os.environ), torch.get_num_threads(), torch.get_float32_matmul_precision()
    deterministic = torch.are_deterministic_algorithms_enabled()
    cudnn = {name: getattr(torch.backends.cudnn, name) for name in ("benchmark", "allow_tf32", "deterministic")}
    levels = {log: log.level for log in logging.root.manager.loggerDict.values() if isinstance(log, logging.Logger)}
    hidden = gc.get_freeze_count()
    try:
        with random_states_kept(), warnings.catch_warnings():
            yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        if deterministic != torch.are_deterministic_algorithms_enabled():
            torch.use_deterministic_algorithms(deterministic)
        for name, value in cudnn.items():
            setattr(torch.backends.cudnn, name, value)
        for log, level in levels.items():
            log.setLevel(level)
        if not hidden:
            gc.unfreeze()


def reuse_freed_memory() -> None:
    """Makes glibc keep freed memory instead of returning it to the system.

    Each update frees and allocates the same tens of megabytes; by default each of their pages would fault anew.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        m_trim_threshold, m_mmap_threshold = -1, -3
        for largest in (2**30, 32 * 2**20):  # glibc before 2.35 accepts at most the second
            if mallopt(m_mmap_threshold, largest):
                break
        mallopt(m_trim_threshold, 2**31 - 1)


def machine_name(device: str = "cpu") -> str:
    """The name of the processor, or of the GPU if ``device`` is "cuda", for captions of measurements."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def quieten_libraries() -> None:
    """Suppresses libraries' banners, tips and notes about their own deprecations, but not warnings and errors."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "mlflow", "alembic", "matplotlib"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*your dataloader is not resumable.*")  # RolloutData restores its state
    warnings.filterwarnings("ignore", message=".*training_step. returned .None.*")  # PPO skips minibatches

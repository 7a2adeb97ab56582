"""Settings of the whole process: threads, memory, and what libraries print."""

import ctypes
import logging
import os
import sys
import warnings

import torch

from drc_lab.errors import ConfigError


def use_threads(threads: int | None) -> None:
    """Sets torch's threads explicitly: its own guess counts cores that this process may not use."""
    if threads is not None and threads < 1:
        raise ConfigError("threads", threads, "at least 1, or null for all cores of this process")
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    torch.set_num_threads(threads or allowed)


def reuse_freed_memory() -> None:
    """Makes glibc keep freed blocks instead of handing them back to the system.

    Each update frees and asks for the same tens of megabytes; with the default every page of them is faulted in anew,
    which takes longer than the arithmetic of the gates.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        m_trim_threshold, m_mmap_threshold, largest = -1, -3, 32 * 2**20
        mallopt(m_mmap_threshold, largest)
        mallopt(m_trim_threshold, 2**31 - 1)


def quieten_libraries() -> None:
    """Leaves warnings and errors, drops banners, tips and notes about a library's own deprecations."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")

"""Checks whether something fits into memory before it starts, and reads what a process has used. Light to import."""

import re
from pathlib import Path

import psutil

from drc_lab.errors import ConfigError


def check_memory(key: str, found: int, bytes_each: int) -> None:
    """Refuses a setting that needs more than half of the free memory.

    Args:
        key: config key of the setting.
        found: value of the setting, a number of things that are in memory at once.
        bytes_each: bytes of each of them.

    Raises:
        ConfigError: they need more memory than that.
    """
    free = psutil.virtual_memory().available
    if found * bytes_each > free / 2:
        most = int(free / 2 / bytes_each)
        raise ConfigError(key, found, f"up to {most:,}: {free / 2**30:.1f} GiB are free, and half of them may be used")


PROCESS = Path("/proc/self")  # of Linux, see proc(5)


def bytes_of_process(key: str) -> int:
    """What the kernel counts of this process, in bytes: VmRSS, VmHWM (the peak of VmRSS) or VmData."""
    line = re.search(rf"^{key}:\s*(\d+) kB$", (PROCESS / "status").read_text(), re.MULTILINE)
    assert line is not None
    return 1024 * int(line[1])


def reset_peak() -> None:
    """Lets the kernel count VmHWM from here on."""
    (PROCESS / "clear_refs").write_text("5")

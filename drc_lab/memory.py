"""Whether what is asked for fits into memory: found out before it begins, not hours into it. Light to import."""

import psutil

from drc_lab.errors import ConfigError


def check_memory(key: str, found: int, bytes_each: int) -> None:
    """Refuses what would not fit into half of the memory that is free.

    Args:
        key: the setting.
        found: its value: so many things at a time.
        bytes_each: of one of them.

    Raises:
        ConfigError: there would be too many.
    """
    free = psutil.virtual_memory().available
    if found * bytes_each > free / 2:
        most = int(free / 2 / bytes_each)
        raise ConfigError(key, found, f"up to {most:,}: {free / 2**30:.1f} GiB are free, and half of them may be used")

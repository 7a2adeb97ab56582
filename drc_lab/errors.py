"""The user's mistakes, each told in one line."""

import sys
from functools import cache
from typing import Any

from drc_lab.ranks import rank


class UserError(Exception):
    """Something the user gave is wrong. The command line prints it as one line and exits with code 2."""


class ConfigError(UserError, ValueError):
    """A setting has a value that cannot work.

    Args:
        key: the dotted config key or argument name.
        found: the value that was given.
        allowed: what would have worked, in words.
    """

    def __init__(self, key: str, found: Any, allowed: str):
        super().__init__(f"{key}: found {found!r}, allowed: {allowed}")
        self.key, self.found, self.allowed = key, found, allowed

    def __reduce__(self) -> Any:  # from a sweep's worker to the command line
        return ConfigError, (self.key, self.found, self.allowed)

    def under(self, prefix: str) -> "ConfigError":
        """The same error with the key seen from further out, e.g. ``height`` under ``env`` is ``env.height``."""
        return ConfigError(f"{prefix}.{self.key}", self.found, self.allowed)


class Diverged(Exception):
    """A training came to numbers that are none. The command line prints it as one line and exits with code 1."""


def complain(error: Exception | str, code: int = 2) -> int:
    """Prints one line, once for all ranks; returns the exit code for it, by default that for the user's mistake."""
    if rank() == 0:
        print(f"drc_lab: {error}", file=sys.stderr)
    return code


@cache
def note(text: str) -> None:
    """Prints a line that the user should know of, once a process however often it is said; nothing if it is empty."""
    if text:
        complain(text)

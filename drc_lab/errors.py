"""Errors that are reported to the user in one line."""

import sys
from functools import cache
from typing import Any

from drc_lab.ranks import rank


class UserError(Exception):
    """Something that the user provided is wrong. The command line prints it as one line and exits with code 2."""


class ConfigError(UserError, ValueError):
    """A setting has a value that cannot work.

    Args:
        key: the dotted config key or argument name.
        found: the value that was given.
        allowed: a description of the values that are allowed.
    """

    def __init__(self, key: str, found: Any, allowed: str):
        super().__init__(f"{key}: found {found!r}, allowed: {allowed}")
        self.key, self.found, self.allowed = key, found, allowed

    def __reduce__(self) -> Any:  # to be pickled when a sweep's worker sends it to the command line
        return ConfigError, (self.key, self.found, self.allowed)

    def under(self, prefix: str) -> "ConfigError":
        """The same error with a prefix before its key: ``height`` under ``env`` becomes ``env.height``."""
        return ConfigError(f"{prefix}.{self.key}", self.found, self.allowed)


class Diverged(Exception):
    """A NaN or an infinity appeared in a training. The command line prints it as one line and exits with code 1."""


def printable(text: str) -> str:
    """The text in one line, with what a terminal would obey (escape sequences, line breaks, marks that turn the
    direction of writing) shown as Python writes it: names in files are shown as well."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def complain(error: Exception | str, code: int = 2) -> int:
    """Prints one line to stderr, on rank 0 only; returns the exit code (by default that of a mistake of the user)."""
    if rank() == 0:
        print(f"drc_lab: {printable(str(error))}", file=sys.stderr)
    return code


@cache
def note(text: str) -> None:
    """Prints a note to the user, each only once per process; prints nothing if it is empty."""
    if text:
        complain(text)

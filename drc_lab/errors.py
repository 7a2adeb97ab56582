"""Errors that are reported to the user in one line."""

import os
import sys
from functools import cache
from typing import Any

from drc_lab.ranks import rank


class UserError(Exception):
    """Something that the user provided is wrong. The command line prints it as one line and exits with `exit_code`."""

    exit_code = 2


class CannotWrite(UserError):
    """The disk took no more while the work was going on: it is full, say, or was made read-only."""

    exit_code = 1


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


class Failed(Exception):
    """The work failed, and why can be said in one line. The command line prints it and exits with `exit_code`."""

    exit_code = 1


class Diverged(Failed):
    """A NaN or an infinity appeared in a training."""


class RankLost(Failed):
    """Another process of a distributed training is gone."""


def reason(error: OSError) -> str:
    """What the operating system says, without the names of files: libraries word it in many ways."""
    return os.strerror(error.errno) if error.errno else " ".join(str(error).split())


def printable(text: str) -> str:
    """The text in one line, with what a terminal would obey (escape sequences, line breaks, marks that turn the
    direction of writing) shown as Python writes it: names in files are shown as well."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def printable_lines(text: str) -> str:
    """`printable`, but for the line breaks."""
    return text if text.isprintable() else "\n".join(map(printable, text.split("\n")))


def complain(error: Exception | str, code: int | None = None) -> int:
    """Prints one line to stderr, on rank 0 only; returns the exit code (by default the error's own, or that of a
    mistake of the user)."""
    if rank() == 0:
        print(f"drc_lab: {printable(str(error))}", file=sys.stderr)
    return getattr(error, "exit_code", UserError.exit_code) if code is None else code


@cache
def note(text: str) -> None:
    """Prints a note to the user, each only once per process; prints nothing if it is empty."""
    if text:
        complain(text)

"""The user's mistakes, each told in one line."""

from typing import Any


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

    def under(self, prefix: str) -> "ConfigError":
        """The same error with the key seen from further out, e.g. ``height`` under ``env`` is ``env.height``."""
        return ConfigError(f"{prefix}.{self.key}", self.found, self.allowed)


class Diverged(Exception):
    """A training came to numbers that are none. The command line prints it as one line and exits with code 1."""

"""Rules that many settings share, each with a ConfigError of the same wording. Light to import."""

from collections.abc import Collection, Iterable
from typing import Any

from drc_lab.errors import ConfigError


def at_least(key: str, numbers: Iterable[float], least: float) -> None:
    """Raises a ConfigError about the first number below ``least``."""
    for number in numbers:
        if number < least:
            raise ConfigError(key, number, f"at least {least}")


def all_at_least(spec: Any, least: float, *keys: str) -> None:
    """`at_least` for the attributes of a spec with these names; None is allowed."""
    for key in keys:
        if (value := getattr(spec, key)) is not None:
            at_least(key, [value], least)


def one_of(key: str, found: Any, allowed: Collection[str]) -> None:
    """Raises a ConfigError if ``found`` is not one of the ``allowed`` values."""
    if found not in allowed:
        raise ConfigError(key, found, " | ".join(allowed))

"""Rules that many settings share, each a ConfigError in the same words. Light to import."""

from collections.abc import Collection, Iterable
from typing import Any

from drc_lab.errors import ConfigError


def at_least(key: str, numbers: Iterable[float], least: float) -> None:
    """Refuses the first number below that."""
    for number in numbers:
        if number < least:
            raise ConfigError(key, number, f"at least {least}")


def all_at_least(spec: Any, least: float, *keys: str) -> None:
    """The same of attributes, by their names; None passes."""
    for key in keys:
        if (value := getattr(spec, key)) is not None:
            at_least(key, [value], least)


def one_of(key: str, found: Any, allowed: Collection[str]) -> None:
    """Refuses what is none of the choices."""
    if found not in allowed:
        raise ConfigError(key, found, " | ".join(allowed))

"""All kinds of thinking and controls: those of this package, and those that a config adds from elsewhere.

Each kind of this package is a class in a module of `drc_lab.evaluation.kinds`, and is found there by its name. Its keys
in the config are ``thinking.NAME`` for its amounts and ``thinking.NAME_FIELD`` for its other fields. Kinds from
elsewhere are nodes of ``thinking.kinds``: ``{NAME: {_target_: module.Class, amounts: [...]}}``. Light to import.
"""

import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from drc_lab.arguments import from_mapping
from drc_lab.building import build_each
from drc_lab.errors import ConfigError
from drc_lab.evaluation import kinds
from drc_lab.evaluation.kinds.kind import Kind
from drc_lab.evaluation.play.thinking import Thinking

if TYPE_CHECKING:
    from drc_lab.evaluation.play.played import Played

AMOUNTS, NAME = "amounts", "name"  # fields of every kind


@dataclass(frozen=True)
class Unknown(Kind):
    """Stands for a kind that records name and that nobody has described."""

    def thinking(self, amount: float, baseline: "Played | None" = None) -> Thinking:
        raise NotImplementedError


@cache
def shipped() -> dict[str, type[Kind]]:
    """The kinds of this package, by name."""
    by_name: dict[str, type[Kind]] = {}
    for module in pkgutil.iter_modules(kinds.__path__, f"{kinds.__name__}."):
        for thing in vars(import_module(module.name)).values():
            defined_here = inspect.isclass(thing) and thing.__module__ == module.name and thing is not Unknown
            if defined_here and issubclass(thing, Kind) and not inspect.isabstract(thing):
                by_name[thing().name_in_config] = thing
    return by_name


def kinds_of(values: dict[str, Any], added: Any, key: str) -> dict[str, Kind]:
    """Makes all kinds that a config describes, by name: in the order of their keys, then those without, then the added.

    Args:
        values: the config group ``key``. The keys of the kinds of this package are taken out of it.
        added: nodes of kinds from elsewhere, by name. One with the name of a kind of this package takes its place, and
            None leaves that out.
        key: of the group.

    Raises:
        ConfigError: a setting of a kind is invalid, or a node names no kind.
    """
    places = {name: place for place, name in enumerate(values)}
    by_name: dict[str, Kind | None] = {}
    for name, kind in sorted(shipped().items(), key=lambda item: places.get(item[0], len(places))):
        keys = {
            field.name: name if field.name == AMOUNTS else f"{name}_{field.name}"
            for field in fields(kind)
            if field.name != NAME
        }
        given = {field: values.pop(config_key) for field, config_key in keys.items() if config_key in values}
        with _errors_about(key, keys):
            by_name[name] = from_mapping(kind, given, "")
    by_name |= build_each(Kind, added, f"{key}.kinds")
    return {name: kind for name, kind in by_name.items() if kind is not None}


@contextmanager
def _errors_about(group: str, keys: Mapping[str, str]) -> Iterator[None]:
    """Makes errors about a field of a kind name the key that it comes from."""
    try:
        yield
    except ConfigError as error:
        field = error.key.strip(".")
        raise ConfigError(f"{group}.{keys.get(field, field)}", error.found, error.allowed) from None


_known: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Makes a kind known to tables and reports, which have its label alone."""
    _known[kind.label] = kind


def kind_named(label: str) -> Kind:
    """The kind that a label in records or a table stands for: the last one registered, or one of this package."""
    if label not in _known:
        labelled = (kind.labelled(label) for kind in shipped().values())
        return next((kind for kind in labelled if kind is not None), Unknown(name=label))
    return _known[label]

"""Finds the class or function that a config's ``_target_`` names, which may be in a user's own module.

Light to import: the command line uses it before torch is imported.
"""

import difflib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from drc_lab.errors import ConfigError
from drc_lab.own_code import described, shown
from drc_lab.paths import CONF

TARGET = "_target_"


def add_current_folder(folder: str | None = None) -> None:
    """Makes modules in the command's folder importable, like ``python -m`` and unlike an installed script."""
    folder = folder or os.getcwd()
    if not sys.flags.safe_path and not {folder, ""} & set(sys.path):
        sys.path.append(folder)


def locate(path: Any, key: str) -> Callable[..., Any]:
    """Imports the class or function of an import path.

    Args:
        path: ``module.Name``.
        key: config key that has the path.

    Raises:
        ConfigError: there is no class or function at that path. The message says which part is missing, or which error
            the import raised.
    """

    def mistake(why: str) -> ConfigError:
        return ConfigError(key, path, f"the import path of a class or function; {why}")

    def imported(name: str, parent: Any = None) -> Any:
        try:
            return import_module(name)
        except Exception as error:  # of any type, as importing a module runs its code
            if isinstance(error, ModuleNotFoundError) and error.name == name:
                raise mistake(has_no(parent, *name.rsplit(".", 1)) if parent else no_module(name)) from None
            raise mistake(f"the import of {name} failed: {described(error)}") from error

    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
        raise mistake("as in module.Name")
    parts = path.split(".")
    located = imported(parts[0])
    for number, part in enumerate(parts[1:], 1):
        parent = ".".join(parts[:number])
        if hasattr(located, part):
            located = getattr(located, part)
        elif isinstance(located, ModuleType):
            located = imported(f"{parent}.{part}", located)
        else:
            raise mistake(has_no(located, parent, part))
    if not callable(located):
        raise mistake(f"{path} is a {type(located).__name__}")
    return located


def no_module(name: str) -> str:
    """The message that there is no such module, with the places that were searched."""
    return (
        f"there is no module {name!r} in this folder ({os.getcwd()}) or among the installed packages (see PYTHONPATH)"
    )


def has_no(parent: Any, name: str, part: str) -> str:
    """The message that a module or class has no such attribute, with the closest names."""
    close = difflib.get_close_matches(part, dir(parent), 3)
    file = getattr(parent, "__file__", None)
    return f"{name}{f' ({shown(file)})' if file else ''} has no {part}" + (
        f"; closest: {', '.join(close)}" if close else ""
    )


def shipped(thing: object) -> bool:
    """Whether an object's class is part of this package, whose tests cover it."""
    return type(thing).__module__.startswith("drc_lab.")


def taken(path: Any, key: str) -> set[str] | None:
    """Names of a target's arguments; None if it accepts any name, or if its signature is unknown.

    Raises:
        ConfigError: the target does not exist.
    """
    from drc_lab.specs import SPECS  # imported here because only overridden targets need it

    target = SPECS.get(path) or locate(path, key)
    try:
        arguments = inspect.signature(target).parameters
    except ValueError:  # a builtin without a signature
        return None
    return None if any(p.kind is p.VAR_KEYWORD for p in arguments.values()) else set(arguments)


def drop_replaced(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Removes keys from the config that only the replaced targets accepted.

    If the command line or an experiment replaces a target, as with ``policy._target_=mine.Net``, the config still has
    the arguments of the old target, which come from its config file. Keys that the command line itself sets are kept:
    `drc_lab.building.build` refuses those that the new target does not accept.

    Args:
        config: the composed config, which is changed in place.
        overrides: the overrides of the command line.

    Returns:
        the same config.

    Raises:
        ConfigError: a target does not exist.
    """
    typed = {
        key
        for one in OverridesParser.create().parse_overrides(list(overrides))
        for key in keys_within(one.key_or_group, one.value())
    }
    for key in sorted(key.removesuffix(f".{TARGET}") for key in typed if key.endswith(f".{TARGET}")):
        node = OmegaConf.select(config, key)
        if OmegaConf.is_dict(node) and TARGET in node:
            _drop(node, key, set(node), typed)
    if "experiment" in typed:
        before = _without_experiment()
        for key, old in _nodes(before):
            node = OmegaConf.select(config, key)
            if OmegaConf.is_dict(node) and node.get(TARGET, old[TARGET]) != old[TARGET]:
                _drop(node, key, set(old), typed)
    return config


def keys_within(key: str, value: Any) -> Iterator[str]:
    """The key of an override, and all keys inside the value if it is a dict."""
    yield key
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from keys_within(f"{key}.{name}", inner)


def _drop(node: DictConfig, key: str, names: set[Any], typed: set[str]) -> None:
    wanted = taken(node[TARGET], f"{key}.{TARGET}")
    kept = {name for name in names if any(f"{one}.".startswith(f"{key}.{name}.") for one in typed)}
    with open_dict(node):
        for name in names - kept - (names if wanted is None else wanted):
            if not str(name).startswith("_"):
                node.pop(name, None)


def _without_experiment() -> DictConfig:
    """The config with the same choices of groups, but without the experiment and other overrides."""
    groups = {path.name for path in CONF.iterdir() if path.is_dir()} - {"experiment", "debug"}  # without defaults
    choices = {g: c for g, c in HydraConfig.get().runtime.choices.items() if g in groups and c and c[0] != "["}
    return hydra.compose("config", [f"{group}={choice}" for group, choice in choices.items()])


def _nodes(config: DictConfig, at: str = "") -> Iterator[tuple[str, DictConfig]]:
    """All nodes that have a ``_target_``, each with its key."""
    for name in config:
        node = None if OmegaConf.is_missing(config, name) else config._get_node(name)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation():
            key = f"{at}.{name!s}".lstrip(".")
            if TARGET in node:
                yield key, node
            yield from _nodes(node, key)

"""Builds objects from config nodes with a ``_target_``, and reports mistakes by config key. Light to import.

Configs mirror constructors one to one: ``_target_`` names the class or function, and every other key is an argument.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import hydra
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from drc_lab.arguments import check_types, errors_under, join, plain
from drc_lab.errors import ConfigError, UserError
from drc_lab.own_code import described, own_frames
from drc_lab.targets import TARGET, locate


def build(node: DictConfig, key: str, **more: Any) -> Any:
    """Instantiates a config node.

    Args:
        node: the node, with a ``_target_``.
        key: config key of the node, for messages.
        more: arguments that the config does not have.

    Raises:
        ConfigError: a value has the wrong type, or the constructor refuses it.
        UserError: the constructor raised another error.
    """
    values = plain(node) if OmegaConf.is_dict(node) else {}
    function = locate(values.get(TARGET), join(key, TARGET))
    if inspect.isabstract(function) and not values.get("_partial_"):
        lacks = ", ".join(sorted(getattr(function, "__abstractmethods__", ())))
        raise ConfigError(join(key, TARGET), values[TARGET], f"a class that has {lacks}, which this one lacks")
    for name, inner in values.items():
        if isinstance(inner, dict) and TARGET in inner:
            locate(inner[TARGET], join(key, f"{name}.{TARGET}"))
    fitting = check_types(function, {k: v for k, v in values.items() if not k.startswith("_")}, key)
    with user_errors_under(key):
        return hydra.utils.instantiate(node, **fitting, **more)


def build_a(kind: type, node: DictConfig, key: str, **more: Any) -> Any:
    """`build` for targets that may be the user's own, which checks that the result is a ``kind``.

    Raises:
        ConfigError: as in `build`, and if the result is not a ``kind``.
    """
    target = locate(node.get(TARGET) if OmegaConf.is_dict(node) else None, join(key, TARGET))
    returned = getattr(target, "__annotations__", {}).get("return")
    known = target if inspect.isclass(target) else returned  # None without annotation: checked once built
    built = None if inspect.isclass(known) and not issubclass(known, kind) else build(node, key, **more)
    if not isinstance(built, kind):
        name = f"{kind.__module__}.{kind.__qualname__}"
        raise ConfigError(join(key, TARGET), node[TARGET], f"a subclass of {name}, or a function that returns one")
    return built


def build_each(kind: type, nodes: Any, key: str) -> dict[str, Any]:
    """Builds a ``kind`` of each node of a group, with its name in the group as the argument ``name``; None stays None.

    Raises:
        ConfigError: as in `build_a`, and if there is anything else but nodes.
    """
    if not isinstance(nodes, Mapping):
        raise ConfigError(key, nodes, "nodes by name: {NAME: {_target_: module.Class, ...}}")
    built: dict[str, Any] = {}
    for name, node in nodes.items():
        if node is not None and not isinstance(node, Mapping):
            raise ConfigError(join(key, name), node, "a node with _target_, or null")
        built[name] = None if node is None else build_a(kind, DictConfig(node), join(key, name), name=name)
    return built


@contextmanager
def user_errors_under(key: str) -> Iterator[None]:
    """`errors_under` that also handles the exceptions in which Hydra's instantiate wraps errors."""
    try:
        with errors_under(key):
            yield
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, ConfigError):
            raise cause.under(key) from None
        if isinstance(cause, UserError):
            raise cause from None
        # A constructor refused its arguments. If it is the user's own code, the message includes the line.
        text = described(cause) if cause and own_frames(cause) else " ".join(str(cause or error).split())
        raise UserError(f"{key}: {text}") from error

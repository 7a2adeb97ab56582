"""What a config's ``_target_`` names, which may be in a module of the user's own.

Light to import: the command line looks here before torch is there.
"""

import difflib
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf, open_dict

from drc_lab.errors import ConfigError
from drc_lab.paths import CONF

TARGET = "_target_"
LIBRARIES = {Path(__file__).parent, *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib"))}


def add_current_folder(folder: str | None = None) -> None:
    """Makes modules in the folder of the command importable, as ``python -m`` does and an installed script does not."""
    folder = folder or os.getcwd()
    if not sys.flags.safe_path and not {folder, ""} & set(sys.path):
        sys.path.append(folder)


def locate(path: Any, key: str) -> Callable[..., Any]:
    """The class or function of an import path.

    Args:
        path: ``module.Name``.
        key: of the config, where it stands.

    Raises:
        ConfigError: it leads to none: which part is missing, or which error ended the import.
    """

    def mistake(why: str) -> ConfigError:
        return ConfigError(key, path, f"the import path of a class or function; {why}")

    def imported(name: str, parent: Any = None) -> Any:
        try:
            return import_module(name)
        except Exception as error:  # whatever the module does when it is imported
            if isinstance(error, ModuleNotFoundError) and error.name == name:
                raise mistake(has_no(parent, *name.rsplit(".", 1)) if parent else no_module(name)) from None
            raise mistake(f"the import of {name} failed: {told(error)}") from error

    if not isinstance(path, str) or not all(part.isidentifier() for part in path.split(".")):
        raise mistake("as in module.Name")
    parts = path.split(".")
    found = imported(parts[0])
    for number, part in enumerate(parts[1:], 1):
        parent = ".".join(parts[:number])
        if hasattr(found, part):
            found = getattr(found, part)
        elif isinstance(found, ModuleType):
            found = imported(f"{parent}.{part}", found)
        else:
            raise mistake(has_no(found, parent, part))
    if not callable(found):
        raise mistake(f"{path} is a {type(found).__name__}")
    return found


def no_module(name: str) -> str:
    """Where it was looked for."""
    return (
        f"there is no module {name!r} in this folder ({os.getcwd()}) or among the installed packages (see PYTHONPATH)"
    )


def has_no(parent: Any, name: str, part: str) -> str:
    """That a module or class lacks a name, with those that it may have been meant for."""
    close = difflib.get_close_matches(part, dir(parent), 3)
    file = getattr(parent, "__file__", None)
    return f"{name}{f' ({shown(file)})' if file else ''} has no {part}" + (
        f"; closest: {', '.join(close)}" if close else ""
    )


def told(error: BaseException) -> str:
    """An error's type and text in one line, and where in the user's own code it arose, if it did there."""
    text = " ".join(str(error).split())
    if isinstance(error, SyntaxError) and error.filename:  # its text ends with the bare name of the file
        return f"{type(error).__name__}: {error.msg}, at {shown(error.filename)}:{error.lineno}"
    places = [f"{shown(frame.filename)}:{frame.lineno} in {frame.name}" for frame in own_frames(error)]
    return f"{type(error).__name__}: {text}" + (f", at {' > '.join(places)}" if places else "")


def own_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The steps of a traceback that are neither in this package nor in a library, the callers first."""
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if is_own(Path(frame.filename))]


def is_own(path: Path) -> bool:
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return path.is_file() and not installed and not LIBRARIES & set(path.parents)


def shown(path: str) -> str:
    """A path as short as it can be told from here."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path


def shipped(thing: object) -> bool:
    """Whether something is of a class of this package, which its tests cover."""
    return type(thing).__module__.startswith("drc_lab.")


def taken(path: Any, key: str) -> set[str] | None:
    """Names of a target's arguments; None where any name is taken, or nobody knows.

    Raises:
        ConfigError: a target that is not there.
    """
    from drc_lab.specs import SPECS  # only where a target is named

    target = SPECS.get(path) or locate(path, key)
    try:
        arguments = inspect.signature(target).parameters
    except ValueError:  # a builtin that does not tell
        return None
    return None if any(p.kind is p.VAR_KEYWORD for p in arguments.values()) else set(arguments)


def drop_replaced(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Takes from the config what only predecessors of its targets took: ``policy._target_=mine.Net`` leaves the keys of
    the file that it stands in for behind, be it said on the command line or by an experiment.

    Keys that the command line sets itself stay: `drc_lab.config.build` refuses those that the target does not take.

    Args:
        config: as composed; is changed.
        overrides: of the command line.

    Returns:
        the same config.

    Raises:
        ConfigError: a target that is not there.
    """
    typed = {key for one in OverridesParser.create().parse_overrides(list(overrides))
             for key in keys_within(one.key_or_group, one.value())}  # fmt: skip
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
    """An override's key, and those inside of a dict that it sets."""
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
    """The config of the same groups, as their files have them."""
    groups = {path.name for path in CONF.iterdir() if path.is_dir()} - {"experiment", "debug"}  # no defaults
    choices = {g: c for g, c in HydraConfig.get().runtime.choices.items() if g in groups and c and c[0] != "["}
    return hydra.compose("config", [f"{group}={choice}" for group, choice in choices.items()])


def _nodes(config: DictConfig, at: str = "") -> Iterator[tuple[str, DictConfig]]:
    """All nodes that name a target, with their keys."""
    for name in config:
        node = None if OmegaConf.is_missing(config, name) else config._get_node(name)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation():
            key = f"{at}.{name!s}".lstrip(".")
            if TARGET in node:
                yield key, node
            yield from _nodes(node, key)

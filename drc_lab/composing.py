"""Composes a config from the words of a command and finds its task, for the command line and `drc_lab.api`.

Light to import.
"""

import difflib
import gc
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from drc_lab.errors import ConfigError, UserError
from drc_lab.passwords import moved_to_environment
from drc_lab.paths import CONF
from drc_lab.renamed import rename_keys, renamed_words
from drc_lab.targets import drop_replaced, taken

if TYPE_CHECKING:
    from drc_lab.app.settings import Settings

TASKS = (
    "train",
    "evaluate",
    "thinking",
    "thinking_sweep",
    "probe",
    "steer",
    "saliency",
    "play",
    "fetch_levels",
    "make_bank",
    "export",
    "env_speed",
    "search_speed",
    "policy_speed",
    "benchmark",
    "import_weights",
    "compare",
    "register",
    "sync",
)


@contextmanager
def composed(overrides: Sequence[str]) -> Iterator[DictConfig]:
    """Composes the config of a command with these overrides; Hydra's global state is restored when the context ends.

    Raises:
        UserError: there is no such config, or Hydra or OmegaConf raises an error about it within the context.
    """
    words = moved_to_environment(renamed_words([*debug_last(list(overrides)), *implied(overrides)]))
    before = HydraConfig.instance().cfg
    with hydra_in_one_line(words, [CONF]), hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        try:
            config = hydra.compose("config", words, return_hydra_config=True)
            if config.hydra.mode == RunMode.MULTIRUN:
                raise ConfigError("hydra.mode", "MULTIRUN", "RUN: sweeps are started by the command line")
            HydraConfig.instance().set_config(config)
            with open_dict(config):
                del config["hydra"]
            rename_keys(config)
            yield drop_replaced(config, words)
        finally:
            HydraConfig.instance().cfg = before


def checked_task(config: DictConfig, folder: Path) -> "tuple[ModuleType, Settings]":
    """Checks the config and imports the module of the task that it names.

    Args:
        config: the whole config.
        folder: of the run.

    Returns:
        the module, and the settings that its ``main`` takes.

    Raises:
        UserError: there is no such task, or a mistake in the config.
    """
    if config.task not in TASKS:
        raise ConfigError("task", config.task, " | ".join(TASKS))
    from drc_lab.app.settings import Settings  # imported here because --help and unknown keys do not need them
    from drc_lab.check import check_config

    settings = Settings(config)
    check_config(settings, folder)
    from drc_lab.progress import working

    with working("starting"):
        return import_task(config.task), settings


def import_task(task: str) -> ModuleType:
    """Imports a task's module without garbage collection.

    This also imports torch and MLflow, which takes seconds, so the config should be checked before. These imports
    create half a million objects, none of which are ever freed. Python would search them for garbage again and again,
    during the import and later, which takes a seventh of the time of a short task.
    """
    name = f"drc_lab.tasks.{task}"
    if name in sys.modules:  # imported by an earlier job, whose garbage must not be frozen
        return sys.modules[name]
    gc.disable()
    # Without a home folder it says in three lines that it rebuilds its list of fonts, which takes a tenth of a second.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def hydra_in_one_line(words: Sequence[str], folders: Sequence[Path]) -> Iterator[None]:
    """Turns errors of Hydra or OmegaConf about a config into one-line UserErrors within the context.

    Args:
        words, folders: see `one_line`.
    """
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(one_line(error, words, folders)) from error
    except ValueError as error:
        if not str(error).startswith("Config group override"):  # Hydra raises this for env=3, for example
            raise
        raise UserError(one_line(error, words, folders)) from error


def one_line(error: Exception, words: Sequence[str], folders: Sequence[Path]) -> str:
    """The message of an error of Hydra or OmegaConf in one line; for unknown keys it names the closest known ones.

    Args:
        error: the error.
        words: the words of the command.
        folders: the folders of configs; ours is the last.
    """
    text = " ".join(str(error).split("Config search path")[0].split())
    if text.startswith("Could not override '"):
        key = text.split("'")[1]
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            groups = {path.name for folder in folders for path in folder.iterdir() if path.is_dir()}
            choices = [word for word in words if word.split("=")[0].lstrip("+") in groups]
            said = OverridesParser.create().parse_overrides(choices)
            # A sweep over a group's options is left out, because a single config cannot have several of them.
            chosen = [str(one.input_line) for one in said if not one.is_sweep_override()]
            of_user = ",".join(f"'file://{folder}'" for folder in folders[:-1])
            config = hydra.compose("config", overrides=[*chosen, f"hydra.searchpath=[{of_user}]"])
            known = _keys(dict(OmegaConf.to_container(config, resolve=False)))  # type: ignore[arg-type]
        try:
            known = _with_own_targets(known, words)
        except ConfigError as error:  # a target does not exist
            return str(error)
        # Keys of the same group come first: another group may have a key of the very same name.
        same_group = [k for k in known if k.split(".")[0] == key.split(".")[0]]
        close = difflib.get_close_matches(key, same_group, 3) or difflib.get_close_matches(key, known, 3)
        close = close or [k for k in known if k.endswith(key.split(".")[-1])]
        hint = f"closest: {', '.join(close)}" if close else "see --help"
        return f"{key}: no such key; {hint} (a new key needs a leading +)"
    # Hydra's message if one of several options of a group does not exist.
    if unknown := re.fullmatch(r"In 'config': Could not load '(\w+)/(.*)'\.", text):
        group, option = unknown.groups()
        options = sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})
        return f"{group}: found {option!r}, allowed: {' | '.join(options)}"
    return text


def _with_own_targets(known: list[str], arguments: Sequence[str]) -> list[str]:
    """The known keys, where those of a replaced target give way to those of the target that the command line names."""
    for argument in arguments:
        if override := re.fullmatch(r"\+*([\w.]+)\._target_=([^,]+)", argument):
            key, target = override.groups()
            names = taken(target, f"{key}._target_")
            if names is not None:
                known = [one for one in known if not one.startswith(f"{key}.")] + [f"{key}.{name}" for name in names]
    return known


def _keys(config: dict[Any, Any]) -> list[str]:
    keys = []
    for key, value in config.items():
        keys.append(str(key))
        if isinstance(value, dict):
            keys += [f"{key}.{inner}" for inner in _keys(value)]
    return keys


def implied(arguments: Sequence[str]) -> list[str]:
    """Choices of config groups that other arguments imply: ``env.id=CartPole-v1`` implies ``env=gym``, for example."""
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    more = []
    if "env.id" in given and "env" not in given and "+experiment" not in given:
        more.append(f"env={env_group(given['env.id'])}")
    if given.get("task") == "import_weights" and not {"env", "env.id", "+experiment"} & set(given):
        more.append("env=sokoban")
    if given.get("task") == "fetch_levels" and "data" not in given:
        more.append("data=boxoban")
    return more


def env_group(env_id: str) -> str:
    """The option of the group ``env`` that an id implies: that of a registered game, or "gym"."""
    from drc_lab.envs.games import find_game  # this import takes a moment, and few commands need it

    try:
        game = find_game(env_id)
    except ConfigError:  # the module of the id cannot be imported; the checks of the config say so
        game = None
    return "gym" if game is None else game.config


def debug_last(overrides: list[str]) -> list[str]:
    """The overrides with ``+debug=`` moved behind ``+experiment=``, because the later one takes precedence."""
    experiments = [i for i, override in enumerate(overrides) if override.startswith("+experiment=")]
    end = max(experiments, default=-1) + 1
    return sorted(overrides[:end], key=lambda override: override.startswith("+debug=")) + overrides[end:]

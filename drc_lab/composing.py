"""Composes a config from the words of a command and finds its task, for the command line and `drc_lab.api`.

Light to import.
"""

import gc
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from drc_lab.errors import ConfigError
from drc_lab.hydra_errors import hydra_in_one_line
from drc_lab.launch import typed
from drc_lab.passwords import moved_to_environment
from drc_lab.paths import CONF
from drc_lab.renamed import rename_keys, renamed_words
from drc_lab.targets import drop_replaced

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


def checked(config: DictConfig, folder: Path) -> "Settings":
    """Checks a config.

    Args:
        config: the whole config.
        folder: of the run.

    Returns:
        the settings that the ``main`` of its task takes.

    Raises:
        UserError: there is no such task, or a mistake in the config.
    """
    if config.task not in TASKS:
        raise ConfigError("task", config.task, " | ".join(TASKS))
    from drc_lab.app.settings import Settings  # imported here because --help and unknown keys do not need them
    from drc_lab.check import check_config

    settings = Settings(config)
    check_config(settings, folder)
    return settings


def checked_job(config: DictConfig, folder: Path) -> "Settings":
    """`checked` of a config that Hydra has just composed, whose keys get their new names in place; those of replaced
    targets go. Hydra's global state has its overrides."""
    words = typed(HydraConfig.get())
    with hydra_in_one_line(words, [CONF]):
        rename_keys(config)
        return checked(drop_replaced(config, words), folder)


def import_task(task: str) -> ModuleType:
    """Imports a task's module without garbage collection.

    This also imports torch and MLflow, which takes seconds, so the config should be checked before. These imports
    create half a million objects, none of which are ever freed. Python would search them for garbage again and again,
    during the import and later, which takes a seventh of the time of a short task.
    """
    from drc_lab.progress import working  # imported here because --help does not need it

    name = f"drc_lab.tasks.{task}"
    with working("starting"):
        if name in sys.modules:  # imported by an earlier job, whose garbage must not be frozen
            return sys.modules[name]
        gc.disable()
        # Without a home folder it says in three lines that it rebuilds its list of fonts, in a tenth of a second.
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        try:
            return import_module(name)
        finally:
            gc.freeze()
            gc.enable()


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

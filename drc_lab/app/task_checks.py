"""What single tasks read from the config, checked. Light to import."""

import math
import os
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from drc_lab.app.settings import Settings
from drc_lab.app.specs import WeightsSpec
from drc_lab.arguments import from_mapping, plain
from drc_lab.envs.games import GAMES, find_game
from drc_lab.envs.specs.ricochet import BankSpec, BoardSpec, RicochetSpec
from drc_lab.errors import ConfigError, UserError
from drc_lab.memory import check_memory
from drc_lab.tracking.journal import FILE

BYTES_OF_A_BOARD = 2**13  # of a benchmark's batch, with its observation
BYTES_OF_AN_ACTION, BYTES_OF_A_FLOAT = 8, 4


def check_taught(config: DictConfig) -> None:
    """Checks that the game has an exact solver, for a loss that learns from optimal actions."""
    if find_game(str(config.env.id)) is None:
        raise ConfigError("env.id", config.env.id, f"{' | '.join(GAMES)}, as algo.loss learns from the exact solver")


def check_played_level(level: int, levels: int | None) -> None:
    """Checks ``play.level``; ``levels`` is how many there are, None if that is not known."""
    if levels is not None and not 0 <= level < levels:
        raise ConfigError("play.level", level, f"0 to {levels - 1}")


@dataclass(frozen=True)
class BankPlan:
    """What task=make_bank makes.

    Args:
        path: of the new file.
        spec: settings of the bank.
        generator: arguments of the generator of boards.
    """

    path: Path
    spec: BankSpec
    generator: dict[str, Any]


def bank_plan(settings: Settings) -> BankPlan:
    """Returns the checked plan of task=make_bank.

    Raises:
        UserError: the file exists already, or a setting is invalid.
    """
    config = settings.config
    game = find_game(str(config.env.id))
    if game is None or not issubclass(game.spec, RicochetSpec):
        has_banks = [each.id for each in GAMES.values() if issubclass(each.spec, RicochetSpec)]
        raise ConfigError("env.id", config.env.id, " | ".join(has_banks))
    for key in RicochetSpec.GIVEN_LEVELS:
        if config.env.get(key) is not None:
            raise ConfigError(f"env.{key}", config.env[key], "null: a bank is made of generated boards")
    if not isinstance(config.bank.path, str) or not config.bank.path:
        raise ConfigError("bank.path", config.bank.path, "the name of a new file")
    settings.check("process")
    path = Path(config.bank.path)
    spec = from_mapping(BankSpec, {k: v for k, v in plain(config.bank).items() if k != "path"}, "bank")
    if path.exists():
        raise UserError(f"{path}: there is a file already; choose another bank.path")
    known = {field.name for field in fields(BoardSpec)}
    generator = {name: value for name, value in plain(config.env).items() if name in known}
    from_mapping(BoardSpec, generator, "env")
    return BankPlan(path, spec, generator)


@dataclass(frozen=True)
class LevelsSource:
    """What task=fetch_levels fetches.

    Args:
        url: of the archive.
        folder: to make.
        sha256: of the archive; None accepts any.
    """

    url: str
    folder: Path
    sha256: str | None


def levels_source(config: DictConfig) -> LevelsSource:
    """Returns the checked ``data`` group of task=fetch_levels."""
    data = config.data
    if "url" not in data:
        raise ConfigError("data", "generated", "boxoban, to be fetched")
    for key in ("folder", "url"):
        if not isinstance(data[key], str) or not data[key]:
            raise ConfigError(f"data.{key}", data[key], "text")
    if not data.url.startswith(("http://", "https://")):
        raise ConfigError("data.url", data.url, "an address that begins with http:// or https://")
    sha256 = None if data.sha256 is None else str(data.sha256)
    check_sha256(sha256)
    return LevelsSource(data.url, Path(data.folder), sha256)


def check_sha256(sha256: str | None) -> None:
    """Raises a ConfigError for text that is no SHA-256 in hex digits."""
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ConfigError("data.sha256", sha256, "64 hex digits, or null")


def check_weights(settings: Settings) -> None:
    """Checks the config of task=import_weights, and that its path exists."""
    config = settings.config
    path = config.import_weights.path
    if not isinstance(path, str) or not path:
        raise ConfigError("path", path, "a folder or file of published weights")
    settings.check("process")
    from_mapping(WeightsSpec, plain(config.import_weights), "import_weights")
    if (thinks := config.env.get("thinks")) is not None:
        raise ConfigError("env.thinks", thinks, "null, as published policies cannot choose to think")
    if not os.path.exists(path):
        raise UserError(f"{path}: no such file or folder")


def check_journal(folder: Path) -> None:
    """Checks that the folder of task=sync is that of a run, with a journal."""
    if not (folder / FILE).is_file():
        raise UserError(f"folder: found no {FILE} in {str(folder)!r}, allowed: the folder of a run")


def check_env_speed(settings: Settings) -> None:
    """Checks the config of task=env_speed, and that its boards and actions fit into memory."""
    spec = settings.speed
    check_memory("speed.num_envs", spec.num_envs, BYTES_OF_A_BOARD)
    check_memory("speed.steps", spec.steps, spec.num_envs * BYTES_OF_AN_ACTION)


def check_policy_speed(settings: Settings) -> None:
    """Checks the config of task=policy_speed, and that its observations fit into memory."""
    settings.check("process")
    spec = settings.policy_speed
    observation = math.prod(spec.obs_shape) * BYTES_OF_A_FLOAT
    for key, batches in (("envs", spec.envs), ("batches", spec.batches), ("conv_batches", spec.conv_batches)):
        check_memory(f"policy_speed.{key}", max(batches), observation)
    check_memory("policy_speed.steps", spec.steps, max(spec.batches) * observation)

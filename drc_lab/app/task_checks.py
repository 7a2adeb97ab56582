"""What single tasks read from the config, checked. Light to import."""

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
from drc_lab.tracking.journal import FILE


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
    if not isinstance(config.bank.path, str):
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
    if not isinstance(path, str):
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

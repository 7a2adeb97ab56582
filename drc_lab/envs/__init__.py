"""Puzzle games. Importing this package registers them (`register_game`), also with Gymnasium."""

from importlib import import_module
from types import ModuleType

from drc_lab.envs.games import register_game
from drc_lab.envs.specs.ricochet import RicochetSpec
from drc_lab.envs.specs.sokoban import SokobanSpec

register_game("drc_lab/RicochetRobots-v0", RicochetSpec, "drc_lab.envs.ricochet.env:build", config="ricochet")
register_game("drc_lab/Sokoban-v0", SokobanSpec, "drc_lab.envs.sokoban.env:build", config="sokoban")


def __getattr__(name: str) -> ModuleType:
    """Imports ``drc_lab.envs.ricochet`` and ``drc_lab.envs.sokoban`` on first use, as their compiled code is slow to
    load."""
    if name in ("ricochet", "sokoban"):
        return import_module(f"drc_lab.envs.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

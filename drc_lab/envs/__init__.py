"""Puzzle games. Importing this package registers them with Gymnasium."""

from importlib import import_module
from types import ModuleType

import gymnasium as gym

for name, game, prefix in (
    ("drc_lab/RicochetRobots-v0", "ricochet", "Ricochet"),
    ("drc_lab/Sokoban-v0", "sokoban", "Sokoban"),
):
    gym.register(
        name,
        entry_point=f"drc_lab.envs.{game}:{prefix}Env",
        vector_entry_point=f"drc_lab.envs.{game}:{prefix}VectorEnv",
    )


def __getattr__(name: str) -> ModuleType:
    """Imports ``drc_lab.envs.ricochet`` and ``drc_lab.envs.sokoban`` on first use, as their compiled code is slow to
    load."""
    if name in ("ricochet", "sokoban"):
        return import_module(f"drc_lab.envs.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

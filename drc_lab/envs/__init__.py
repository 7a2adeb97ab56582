"""Puzzle worlds. Importing this package registers them with Gymnasium."""

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
    """``drc_lab.envs.ricochet`` without an import of its own; compiled code is loaded only when it is asked for."""
    if name in ("ricochet", "sokoban"):
        return import_module(f"drc_lab.envs.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

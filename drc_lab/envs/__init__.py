"""Puzzle worlds. Importing this package registers them with Gymnasium."""

from importlib import import_module
from types import ModuleType

import gymnasium as gym

gym.register(
    "drc_lab/RicochetRobots-v0",
    entry_point="drc_lab.envs.ricochet:RicochetEnv",
    vector_entry_point="drc_lab.envs.ricochet:RicochetVectorEnv",
)


def __getattr__(name: str) -> ModuleType:
    """``drc_lab.envs.ricochet`` without an import of its own; compiled code is loaded only when it is asked for."""
    if name == "ricochet":
        return import_module("drc_lab.envs.ricochet")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

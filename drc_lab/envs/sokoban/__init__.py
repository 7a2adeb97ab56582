"""Sokoban: levels in the usual text formats, generators, exact solver, and the envs."""

from drc_lab.envs.search import SearchLimitReached
from drc_lab.envs.sokoban.env import SokobanEnv, SokobanVectorEnv
from drc_lab.envs.sokoban.files import LevelFiles, open_levels
from drc_lab.envs.sokoban.generate import RoomGenerator
from drc_lab.envs.sokoban.level import Level, Levels, parse_collection
from drc_lab.envs.sokoban.replay import replay
from drc_lab.envs.sokoban.reverse import ReverseGenerator
from drc_lab.envs.sokoban.solve import Solution, solve, solve_many

__all__ = [
    "Level",
    "LevelFiles",
    "Levels",
    "ReverseGenerator",
    "RoomGenerator",
    "SearchLimitReached",
    "SokobanEnv",
    "SokobanVectorEnv",
    "Solution",
    "open_levels",
    "parse_collection",
    "replay",
    "solve",
    "solve_many",
]

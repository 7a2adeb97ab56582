"""Ricochet Robots: boards, generator, exact solver, and the envs."""

from drc_lab.envs.ricochet.env import RicochetEnv, RicochetVectorEnv
from drc_lab.envs.ricochet.generate import BoardGenerator
from drc_lab.envs.ricochet.layouts import layout
from drc_lab.envs.ricochet.level import Board, Boards, border
from drc_lab.envs.ricochet.solve import SearchLimitReached, Solution, solve

__all__ = [
    "Board",
    "BoardGenerator",
    "Boards",
    "RicochetEnv",
    "RicochetVectorEnv",
    "SearchLimitReached",
    "Solution",
    "border",
    "layout",
    "solve",
]

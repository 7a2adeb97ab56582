"""Ricochet Robots: boards, generator, exact solver, banks, and the envs."""

from drc_lab.envs.ricochet.bank import Bank, load_bank, save_bank
from drc_lab.envs.ricochet.env import RicochetEnv, RicochetVectorEnv
from drc_lab.envs.ricochet.generate import BoardGenerator
from drc_lab.envs.ricochet.layouts import layout
from drc_lab.envs.ricochet.level import Board, Boards, border
from drc_lab.envs.ricochet.solve import Solution, robots_moved, solve, solve_many
from drc_lab.envs.ricochet.symmetry import transform, transform_actions
from drc_lab.envs.search import SearchLimitReached

__all__ = [
    "Bank",
    "Board",
    "BoardGenerator",
    "Boards",
    "RicochetEnv",
    "RicochetVectorEnv",
    "SearchLimitReached",
    "Solution",
    "border",
    "layout",
    "load_bank",
    "robots_moved",
    "save_bank",
    "solve",
    "solve_many",
    "transform",
    "transform_actions",
]

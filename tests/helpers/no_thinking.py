"""A thinking spec that asks for nothing."""

import drc_lab  # noqa: F401 - registers the envs

NOTHING = {
    "first_passes": [0], "noops": [], "repeats": [], "passes_at": [], "passes_at_step": 3, "cycle_passes": [],
    "cycle_noops": [], "adaptive": [], "adaptive_max_ticks": 9, "adaptive_every_step": False, "controls": [],
    "levels_at_once": 100, "solver_levels": 0, "solver_max_states": 1000, "trace_ticks": 0, "power": 0.8,
    "run": None, "worlds": {},
}  # fmt: skip

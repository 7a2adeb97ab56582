"""A thinking spec that asks for nothing but what a test names."""

from omegaconf import OmegaConf

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.arguments import plain
from drc_lab.evaluation.thinking_spec import ThinkingSpec
from drc_lab.paths import CONF

NOTHING = {
    "first_passes": [0], "noops": [], "repeats": [], "passes_at": [], "cycle_passes": [], "cycle_noops": [],
    "adaptive": [], "adaptive_max_ticks": 9, "controls": [], "levels_at_once": 100, "solver_levels": 0,
    "solver_max_states": 1000, "trace_ticks": 0,
}  # fmt: skip


def thinking(**keys):
    """The spec of the default config with these keys; without them, of what asks for nothing."""
    group = OmegaConf.merge(OmegaConf.load(CONF / "thinking/default.yaml"), NOTHING, keys)
    return ThinkingSpec.from_group(plain(group))

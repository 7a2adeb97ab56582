"""What taps cost: the speed of a policy's steps without taps in its code, with inactive taps, and with tensors kept."""

from typing import Any

from torch import Tensor

from drc_lab.app.specs import PolicySpeedSpec
from drc_lab.interpretation.hooks import run_with_cache
from drc_lab.speed.policy_runs import Ours
from drc_lab.speed.timing import Run, rounded, timed

BLIND = "no places to look at"
KEPT: dict[str, list[str] | None] = {"h, c kept": ["*.*.h", "*.*.c"], "everything kept": None}
LOOKING_COLUMNS = ("what", "steps_per_second", "ratio")


class Looking(Ours):
    """A policy that keeps the tensors of these names in each step; None keeps all."""

    def __init__(self, ours: Ours, names: list[str] | None):
        super().__init__(ours.policy, ours.obs_shape)
        self.names = names

    def step(self, obs: Tensor, state: Any) -> Any:
        return run_with_cache(self.policy, obs, state, self.names)[0][1]


def looking_rows(ours: Ours, spec: PolicySpeedSpec) -> list[tuple[str, float, float]]:
    """Returns rows of name, env-steps/s with ``spec.envs[0]`` envs, and the ratio to the policy without taps."""
    blind = Ours(spec.drc(), spec.obs_shape)
    blind.policy.load_state_dict(ours.policy.state_dict())
    blind.policy.tapped = lambda what, value, layer=None: value  # type: ignore[method-assign]
    subjects = {BLIND: blind, "nobody looks": ours} | {name: Looking(ours, names) for name, names in KEPT.items()}
    runs: dict[Any, Run] = {name: subject.stepping(spec.envs[0]) for name, subject in subjects.items()}
    speeds = timed(runs, spec.timings)
    return [(name, rounded(speeds[name]), rounded(speeds[name] / speeds[BLIND])) for name in subjects]

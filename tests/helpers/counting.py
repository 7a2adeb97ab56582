"""An env and a policy of which every step is known."""

import torch

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.models.policy import Policy, PolicyValue

ENV = "drc_lab/RicochetRobots-v0"


class Counting(Policy):
    """Counts its ticks in the carry. Takes RIGHT once it has had enough of them, LEFT before."""

    repeats_per_step, obs_shape = 3, (7, 5, 5)

    def __init__(self, enough: int):
        super().__init__()
        self.enough = enough
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[int, int]] = []

    def init_state(self, batch, H=None, W=None, device=None, dtype=None):
        return torch.zeros(batch)

    def unroll(self, obs, state, resets, repeats=None):
        (ticks,) = self.repeats_of(repeats, 1)
        state = state + ticks
        self.seen.append((len(state), ticks))
        logits = torch.zeros(1, len(state), 4)
        logits[0, :, 3] = (state >= self.enough).float() * 2 - 1
        logits[0, :, 2] = 0.5
        return PolicyValue(logits, torch.zeros(1, len(state), 1)), state

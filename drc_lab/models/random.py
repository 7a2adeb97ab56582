"""The random policy, a control for comparisons: uniform over actions."""

from typing import Any

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from drc_lab.models.policy import Device, DType, Policy, PolicyValue, Repeats


class RandomPolicy(Policy):
    """Equal logits for all actions, whatever the observation.

    Sample its actions: played greedily, it always takes action 0.

    Args:
        obs_shape: shape of one observation.
        num_actions: |A|.
    """

    def __init__(self, obs_shape: tuple[int, ...], num_actions: int):
        super().__init__()
        self.obs_shape = obs_shape
        self.logits = torch.nn.Parameter(torch.zeros(num_actions), requires_grad=False)

    def init_state(
        self, batch: int, H: int | None = None, W: int | None = None, device: Device = None, dtype: DType = None
    ) -> tuple[()]:
        """Returns (): the policy has no memory."""
        return ()

    def unroll(
        self, obs: Shaped[Tensor, "T B *obs"], state: Any, resets: Bool[Tensor, "T B"], repeats: Repeats = None
    ) -> tuple[PolicyValue, Any]:
        T, B = obs.shape[:2]
        return PolicyValue(self.logits.expand(T, B, -1), self.logits.new_zeros(T, B, 1)), state

"""A policy without memory for vectors, and for anything else once flattened."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from drc_lab.errors import ConfigError
from drc_lab.models.init import init_linear
from drc_lab.models.policy import Policy, PolicyValue, Repeats, as_floats

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


class MLPPolicy(Policy):
    """Two networks of the same layers, one for the policy and one for the value. More ticks change nothing.

    Args:
        obs_shape: of one observation; flattened.
        num_actions: |A|.
        hidden_sizes: widths of the hidden layers; none makes it linear.
        activation: "tanh" or "relu".
        hidden_init, head_init: how weights start, see `drc_lab.models.init`.

    Raises:
        ConfigError: a size that cannot work.
    """

    def __init__(
        self,
        obs_shape: tuple[int, ...],
        num_actions: int,
        hidden_sizes: Sequence[int] = (64, 64),
        activation: str = "tanh",
        hidden_init: str = "orthogonal",
        head_init: str = "small",
    ):
        super().__init__()
        if num_actions < 1:
            raise ConfigError("num_actions", num_actions, "at least 1")
        if any(size < 1 for size in hidden_sizes):
            raise ConfigError("hidden_sizes", list(hidden_sizes), "widths of at least 1")
        if activation not in ACTIVATIONS:
            raise ConfigError("activation", activation, " | ".join(ACTIVATIONS))
        self.obs_shape = tuple(obs_shape)

        def network(outputs: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for fan_in, fan_out in pairwise([math.prod(obs_shape), *hidden_sizes]):
                hidden = nn.Linear(fan_in, fan_out)
                init_linear(hidden, hidden_init, "hidden_init")
                layers += [hidden, ACTIVATIONS[activation]()]
            head = nn.Linear(hidden_sizes[-1] if hidden_sizes else math.prod(obs_shape), outputs)
            init_linear(head, head_init, "head_init")
            return nn.Sequential(*layers, head)

        self.policy, self.value = network(num_actions), network(1)

    def init_state(self, batch: int, H: int | None = None, W: int | None = None, device=None, dtype=None) -> tuple:
        """There is nothing to carry."""
        return ()

    def unroll(self, obs: Tensor, state: Any, resets: Tensor, repeats: Repeats = None) -> tuple[PolicyValue, Any]:
        if tuple(obs.shape[2:]) != self.obs_shape:
            raise ConfigError("obs", tuple(obs.shape[2:]), f"{self.obs_shape}, which this policy was built for")
        self.repeats_of(repeats, len(obs))
        x = as_floats(obs.flatten(2), next(self.parameters()).dtype)  # (T, B, F)
        return PolicyValue(self.policy(x), self.value(x)), state

    def output_layers(self) -> list[nn.Module]:
        return [self.policy[-1], self.value[-1]]

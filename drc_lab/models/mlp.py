"""A policy without memory for vectors; other observations are flattened."""

import math
from itertools import pairwise
from typing import Any

from jaxtyping import Bool, Shaped
from torch import Tensor, nn

from drc_lab.arguments import takes
from drc_lab.errors import ConfigError
from drc_lab.models.init import init_linear
from drc_lab.models.policy import Device, DType, Policy, PolicyValue, Repeats, as_floats
from drc_lab.models.specs import Activation, MLPSpec

ACTIVATIONS: dict[Activation, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


class MLPPolicy(Policy):
    """Two separate networks with the same hidden sizes, one for policy and one for value. More ticks change nothing.

    See `MLPSpec` for the arguments.
    """

    @takes(MLPSpec)
    def __init__(self, spec: MLPSpec):
        super().__init__()
        self.obs_shape = tuple(spec.obs_shape)
        sizes, activation = spec.hidden_sizes, ACTIVATIONS[spec.activation]

        def network(outputs: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for fan_in, fan_out in pairwise([math.prod(self.obs_shape), *sizes]):
                hidden = nn.Linear(fan_in, fan_out)
                init_linear(hidden, spec.hidden_init, "hidden_init")
                layers += [hidden, activation()]
            head = nn.Linear(sizes[-1] if sizes else math.prod(self.obs_shape), outputs)
            init_linear(head, spec.head_init, "head_init")
            return nn.Sequential(*layers, head)

        self.policy, self.value = network(spec.num_actions), network(1)

    def init_state(
        self, batch: int, H: int | None = None, W: int | None = None, device: Device = None, dtype: DType = None
    ) -> tuple[()]:
        """Returns (): the policy has no memory."""
        return ()

    def unroll(
        self, obs: Shaped[Tensor, "T B *obs"], state: Any, resets: Bool[Tensor, "T B"], repeats: Repeats = None
    ) -> tuple[PolicyValue, Any]:
        if tuple(obs.shape[2:]) != self.obs_shape:
            raise ConfigError("obs", tuple(obs.shape[2:]), f"{self.obs_shape}, which this policy was built for")
        self.repeats_of(repeats, len(obs))
        x = as_floats(obs.flatten(2), next(self.parameters()).dtype)  # (T, B, F)
        return PolicyValue(self.policy(x), self.value(x)), state

    def output_layers(self) -> list[nn.Module]:
        return [self.policy[-1], self.value[-1]]

"""Wraps an exported step as a policy, so that evaluations can run it."""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor, nn

from drc_lab.deploy.step import Interface
from drc_lab.errors import ConfigError
from drc_lab.models.policy import Device, DType, Policy, PolicyValue, Repeats


@runtime_checkable
class Program(Protocol):
    """Something that runs an exported step."""

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Takes `Interface.inputs` in that order, returns `Interface.outputs`."""


class ExportedPolicy(Policy):
    """A policy that runs an exported step. Its carry is a list of the tensors in `Interface.carry`."""

    def __init__(self, program: Program, interface: Interface):
        super().__init__()
        self.program, self.interface = program, interface
        self.obs_shape, self.repeats_per_step = interface.obs_shape, interface.repeats
        self.nothing = nn.Parameter(torch.zeros(0), requires_grad=False)  # gives the policy a device and a dtype

    def init_state(
        self, batch: int, H: int | None = None, W: int | None = None, device: Device = None, dtype: DType = None
    ) -> list[Tensor]:
        """Zeros in the shapes of the interface; board size, device and dtype are ignored, because they are fixed."""
        return self.interface.init_carry(batch)

    def unroll(
        self, obs: Shaped[Tensor, "T B *obs"], state: Any, resets: Bool[Tensor, "T B"], repeats: Repeats = None
    ) -> tuple[PolicyValue, list[Tensor]]:
        """See `Policy.unroll`.

        Raises:
            ConfigError: ``repeats`` differs from the number of ticks that the step was exported with.
        """
        if set(self.repeats_of(repeats, len(obs))) != {self.repeats_per_step}:
            raise ConfigError("repeats", repeats, f"{self.repeats_per_step}, with which this step was exported")
        outputs, carry = [], list(state)
        for now, reset in zip(obs, resets, strict=True):
            logits, value, *carry = self.program(now, *([reset, *carry] if carry else []))
            outputs.append((logits, value))
        logits, value = (torch.stack(x) for x in zip(*outputs, strict=True))  # (T, B, A), (T, B, 1)
        return PolicyValue(logits, value), carry

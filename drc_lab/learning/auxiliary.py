"""Auxiliary losses: they teach a policy something besides the algorithm's loss, with parameters of their own."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from omegaconf import DictConfig
from torch import Tensor, nn

from drc_lab.arguments import plain
from drc_lab.building import build_a
from drc_lab.errors import ConfigError, UserError
from drc_lab.learning.losses import Transitions
from drc_lab.learning.rollout import EndedEpisodes, Rollout
from drc_lab.models.policy import Policy, PolicyValue
from drc_lab.own_code import described
from drc_lab.rules import at_least

T, B = 3, 2  # steps and envs of the rollout that a loss is checked on


class AuxiliaryLoss(nn.Module, ABC):
    """A loss that is added, ``coef`` times, to the algorithm's. Its parameters are optimised with the policy's.

    The constructor of a subclass takes ``obs_shape``, ``num_actions`` and ``hidden_size`` (F) in addition to the keys
    of its config.

    Args:
        coef: weight of the loss.
    """

    def __init__(self, coef: float):
        super().__init__()
        at_least("coef", [coef], 0)
        self.coef = coef

    @abstractmethod
    def forward(self, rollout: Rollout, out: PolicyValue, hidden: Float[Tensor, "T1 B F"]) -> Float[Tensor, ""]:
        """The loss of a minibatch.

        Args:
            rollout: the minibatch: T steps of B envs.
            out: logits [T + 1, B, A] and values [T + 1, B, 1] of the current policy.
            hidden: what the layer of the logits reads, at T1 = T + 1 steps. Gradients flow through it into the policy.
        """


class HiddenReader:
    """Reads what the layer of a policy's logits reads.

    Args:
        policy: the policy.

    Raises:
        NotImplementedError: the policy has no ``output_layers``.
    """

    def __init__(self, policy: Policy):
        self.layer, self.last = policy.output_layers()[0], torch.empty(0)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Context in which it reads."""
        hook = self.layer.register_forward_pre_hook(self._keep)
        try:
            yield
        finally:
            hook.remove()
            self.last = torch.empty(0)

    def _keep(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.last = inputs[0]

    def read(self, steps: int, envs: int) -> Float[Tensor, "{steps} {envs} F"]:
        """What was read in the last `Policy.unroll`, which was of so many steps and envs."""
        return self.last.reshape(steps, envs, -1)  # time comes first, then envs, also where both are one axis


def build_auxiliary(nodes: DictConfig | None, policy: Policy, num_actions: int) -> dict[str, AuxiliaryLoss]:
    """Builds and checks the losses of ``algo.auxiliary``, by name; entries that are null are left out.

    Raises:
        ConfigError: an entry is no `AuxiliaryLoss` or returns no scalar with a gradient, or the policy has no
            ``output_layers``.
        UserError: a loss raised an error; the message says which, and where.
    """
    losses: dict[str, AuxiliaryLoss] = {}
    for name, node in (nodes or {}).items():
        key = f"algo.auxiliary.{name!s}"
        if node is None:
            continue
        if not str(name).isidentifier():  # it becomes part of the names of weights
            raise ConfigError(key, str(name), "a name of letters, digits and _")
        try:
            rollout, out, hidden = example(policy, num_actions)
        except NotImplementedError:
            raise ConfigError(key, plain(node), f"null, as {type(policy).__name__} has no output_layers") from None
        sizes = {"obs_shape": policy.obs_shape, "num_actions": num_actions, "hidden_size": hidden.shape[-1]}
        loss: AuxiliaryLoss = build_a(AuxiliaryLoss, node, key, **sizes)
        try:
            value: Any = loss(rollout, out, hidden)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{key}: {node._target_} raises {described(error)}") from error
        if not (isinstance(value, Tensor) and value.ndim == 0 and value.requires_grad):
            raise ConfigError(f"{key}._target_", node._target_, "a loss that is a scalar with a gradient")
        losses[str(name)] = loss
    return losses


def example(policy: Policy, num_actions: int) -> tuple[Rollout, PolicyValue, Float[Tensor, "T1 B F"]]:
    """A made-up rollout of T steps of B envs, and what the policy makes of it; random generators keep their state."""
    weight = next(policy.parameters())
    obs = torch.zeros(T + 1, B, *policy.obs_shape, device=weight.device)
    H, W = policy.obs_shape[1:] if len(policy.obs_shape) == 3 else (None, None)
    carry = policy.init_state(B, H, W, weight.device, weight.dtype)
    resets = torch.zeros(T + 1, B, dtype=torch.bool, device=weight.device)
    reader = HiddenReader(policy)
    with reader.reading(), torch.random.fork_rng():
        out, _ = policy.unroll(obs, carry, resets)
        hidden = reader.read(T + 1, B)
    steps = torch.ones(T, B, device=weight.device)
    moves = Transitions(steps.long(), steps, out.policy_logits[:-1].detach(), resets, steps < 0)
    ended = EndedEpisodes(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0, np.int64))
    ticks = (policy.repeats_per_step,) * (T + 1)
    return Rollout(obs, carry, ticks, moves, ended, 0, True), out, hidden

"""The interface of every policy, recurrent or not: `init_state`, a single step, and a whole sequence."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from drc_lab.errors import ConfigError
from drc_lab.models.specs import reads
from drc_lab.models.taps import Taps, tapped

Repeats = int | Sequence[int] | None
Device = torch.device | str | None
DType = torch.dtype | None


class PolicyValue(NamedTuple):
    """policy_logits [..., A] (unnormalised) and value [..., 1]."""

    policy_logits: Float[Tensor, "*steps A"]
    value: Float[Tensor, "*steps 1"]


@dataclass(frozen=True)
class Origin:
    """The training that a loaded policy comes from.

    Args:
        config: config of that training, as plain types; ``config["env"]`` is the env it was trained in.
        frames: number of frames it was trained on.
    """

    config: Mapping[str, Any]
    frames: int


class Policy(nn.Module, ABC):
    """Base class of all policies. A subclass implements `init_state` and `unroll`; one step is a sequence of length 1.

    A subclass must set ``obs_shape``, and its constructor must take ``obs_shape`` and ``num_actions`` in addition to
    the keys of its config.
    """

    obs_shape: tuple[int, ...]  # shape of one observation
    repeats_per_step: int = 1  # ticks per step
    any_size: bool = False  # whether boards may differ in height and width from `obs_shape`
    note: str = ""  # a line shown to the user at the start of a training: how this policy was chosen
    origin: Origin | None = None  # set if the policy was loaded from a checkpoint
    taps: Taps | None = None  # callback that reads or replaces intermediate tensors; see `tapped`

    @abstractmethod
    def init_state(
        self, batch: int, H: int | None = None, W: int | None = None, device: Device = None, dtype: DType = None
    ) -> Any:
        """Returns the carry at the start of an episode, for a board of H x W (default: the size in ``obs_shape``).

        The carry consists of tensors [batch, ...] in tuples, lists or dicts; it is () in a policy without memory.
        """

    def initial_carry(self, obs: Shaped[Tensor, "B *obs"]) -> Any:
        """The carry at the start of an episode for these observations, with the device and dtype of the weights."""
        H, W = obs.shape[2:] if obs.ndim == 4 else (None, None)
        weight = next(self.parameters())
        return self.init_state(len(obs), H, W, weight.device, weight.dtype)

    def reads(self, shape: Sequence[int]) -> bool:
        """Whether the policy accepts observations of this shape."""
        return reads(self.obs_shape, self.any_size, shape)

    @abstractmethod
    def unroll(
        self, obs: Shaped[Tensor, "T B *obs"], state: Any, resets: Bool[Tensor, "T B"], repeats: Repeats = None
    ) -> tuple[PolicyValue, Any]:
        """Runs a whole sequence at once; the result equals that of T single steps.

        Args:
            obs: [T, B, C, H, W], or [T, B, F] in a policy that takes vectors. uint8 is divided by 255, floats are
                used unchanged.
            state: the carry before the first step.
            resets: bool [T, B]; true where the observation is the first of its episode. The carry is zeroed before
                that step.
            repeats: ticks per step: one number, or one for each step. None: the policy's ``repeats_per_step``.

        Returns:
            logits [T, B, A] and values [T, B, 1], and the carry after the last step.
        """

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"taps": None}  # a copy starts without taps

    def output_layers(self) -> list[nn.Module]:
        """The linear layers that output logits and value, for a penalty on their weights.

        Raises:
            NotImplementedError: the policy has no ``head`` with layers ``policy`` and ``value``; it may override this.
        """
        head: Any = getattr(self, "head", None)
        if not (hasattr(head, "policy") and hasattr(head, "value")):
            raise NotImplementedError
        return [head.policy, head.value]

    def bytes_of_a_tick(self) -> int:
        """Approximate bytes that the backward pass stores per env and tick; 0 if the policy gives no estimate."""
        return 0

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Context in which the weights must not change, so that a policy can cache what it derives from them.

        The default does nothing.
        """
        yield

    def forward(
        self, obs: Shaped[Tensor, "B *obs"], state: Any = None, repeats: int | None = None
    ) -> tuple[PolicyValue, Any]:
        """One step: obs [B, ...] -> logits [B, A], value [B, 1], new carry. ``state=None`` starts an episode."""
        if state is None:
            state = self.initial_carry(obs)
        resets = torch.zeros(1, len(obs), dtype=torch.bool, device=obs.device)
        out, state = self.unroll(obs[None], state, resets, repeats)
        return PolicyValue(out.policy_logits[0], out.value[0]), state

    def tapped(self, what: str, value: Float[Tensor, "B *what"], layer: int | None = None) -> Float[Tensor, "B *what"]:
        """Passes the intermediate tensor [B, ...] named ``what`` through ``taps``, and returns it or its replacement.

        Give ``layer`` for tensors that are recomputed at every tick. Call this only when `unroll` runs a single step:
        if ``taps`` is set, a subclass splits longer sequences with `one_by_one`.
        """
        return tapped(self.taps, what, value, layer)

    def one_by_one(
        self, obs: Shaped[Tensor, "T B *obs"], state: Any, resets: Bool[Tensor, "T B"], repeats: Repeats
    ) -> tuple[PolicyValue, Any]:
        """Runs `unroll` as T single steps, and sets ``taps.step`` to the index of each."""
        assert self.taps is not None
        outs, taps, first = [], self.taps, self.taps.step
        try:
            for t, ticks in enumerate(self.repeats_of(repeats, len(obs))):
                taps.step = first + t
                out, state = self.unroll(obs[t : t + 1], state, resets[t : t + 1], ticks)
                outs.append(out)
        finally:
            taps.step = first
        return PolicyValue(*(torch.cat(each) for each in zip(*outs, strict=True))), state

    def repeats_of(self, repeats: Repeats, steps: int) -> list[int]:
        """Expands ``repeats`` to one number of ticks for each of ``steps`` steps.

        Raises:
            ConfigError: wrong number of entries, or one below 1.
        """
        repeats = self.repeats_per_step if repeats is None else repeats
        each = [repeats] * steps if isinstance(repeats, int) else [int(r) for r in repeats]
        if len(each) != steps or min(each) < 1:
            raise ConfigError("repeats", repeats, f"a number of at least 1, or {steps} of them, one for each step")
        return each


@torch.no_grad()
def num_actions(policy: Policy) -> int:
    """|A|, read off the logits for one observation, because not every policy stores it."""
    weight = next(policy.parameters())
    return policy(torch.zeros(1, *policy.obs_shape, device=weight.device))[0].policy_logits.shape[-1]


def as_floats(obs: Shaped[Tensor, "*obs"], dtype: torch.dtype) -> Float[Tensor, "*obs"]:
    """Converts observations to ``dtype``; uint8 is also scaled from 0-255 to [0, 1]."""
    return obs.to(dtype) / 255 if obs.dtype == torch.uint8 else obs.to(dtype)

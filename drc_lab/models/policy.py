"""What every policy has, recurrent or not: `init_state`, one step, and a whole sequence."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from drc_lab.errors import ConfigError
from drc_lab.models.specs import reads
from drc_lab.models.taps import Taps, tapped

Repeats = int | Sequence[int] | None
Device = torch.device | None
DType = torch.dtype | None


class PolicyValue(NamedTuple):
    """policy_logits [..., A] (unnormalised) and value [..., 1]."""

    policy_logits: Tensor
    value: Tensor


@dataclass(frozen=True)
class Origin:
    """Where a policy that was loaded comes from.

    Args:
        config: of its training, as plain types: ``config["env"]`` is what it was trained in.
        frames: that it has learned from.
    """

    config: Mapping[str, Any]
    frames: int


class Policy(nn.Module, ABC):
    """Base of all policies. A subclass writes `init_state` and `unroll`; one step is a sequence of length 1.

    It sets ``obs_shape``, and its constructor takes ``obs_shape`` and ``num_actions`` beside the keys of its config.
    """

    obs_shape: tuple[int, ...]  # of one observation
    repeats_per_step: int = 1  # ticks of each step
    any_size: bool = False  # whether boards may have another height and width than in `obs_shape`
    note: str = ""  # a line for the user of a training: how this policy was chosen
    origin: Origin | None = None  # of one that was loaded from a checkpoint
    taps: Taps | None = None  # who is shown what is computed on the way; see `tapped`

    @abstractmethod
    def init_state(
        self, batch: int, H: int | None = None, W: int | None = None, device: Device = None, dtype: DType = None
    ) -> Any:
        """The carry at the start of an episode, for a board of H x W (default: the one the policy was built for).

        Tensors [batch, ...] in tuples, lists or dicts; () in a policy without memory.
        """

    def reads(self, shape: Sequence[int]) -> bool:
        """Whether observations may have that shape."""
        return reads(self.obs_shape, self.any_size, shape)

    @abstractmethod
    def unroll(self, obs: Tensor, state: Any, resets: Tensor, repeats: Repeats = None) -> tuple[PolicyValue, Any]:
        """A whole sequence at once, equal to T single steps.

        Args:
            obs: [T, B, C, H, W], or [T, B, F] in a policy that takes vectors. uint8 is divided by 255, floats are
                taken as they are.
            state: the carry before the first step.
            resets: bool [T, B]; true where the observation is the first of its episode: the carry is zeroed before it.
            repeats: ticks a step, or one number for each step; None is the policy's own.

        Returns:
            logits [T, B, A] and values [T, B, 1], and the carry after the last step.
        """

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"taps": None}  # a copy is looked at by nobody

    def output_layers(self) -> list[nn.Module]:
        """The linear layers that give logits and value, for a penalty on their weights; not every policy tells."""
        head: Any = getattr(self, "head", None)
        if not (hasattr(head, "policy") and hasattr(head, "value")):
            raise NotImplementedError
        return [head.policy, head.value]

    def bytes_of_a_tick(self) -> int:
        """What the backward pass keeps of one env and tick, about; 0 in a policy that does not tell."""
        return 0

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Promises that the weights stay as they are within: a policy may compute once what it derives from them."""
        yield

    def forward(self, obs: Tensor, state: Any = None, repeats: int | None = None) -> tuple[PolicyValue, Any]:
        """One step: obs [B, ...] -> logits [B, A], value [B, 1], new carry. ``state=None`` starts an episode."""
        if state is None:
            H, W = obs.shape[2:] if obs.ndim == 4 else (None, None)
            state = self.init_state(len(obs), H, W, obs.device, next(self.parameters()).dtype)
        resets = torch.zeros(1, len(obs), dtype=torch.bool, device=obs.device)
        out, state = self.unroll(obs[None], state, resets, repeats)
        return PolicyValue(out.policy_logits[0], out.value[0]), state

    def tapped(self, what: str, value: Tensor, layer: int | None = None) -> Tensor:
        """An intermediate [B, ...] by its name, as whoever looks at it or replaces it leaves it.

        ``layer`` is for what is computed anew at each tick. Call it where `unroll` has a single step: with ``taps``
        set, `one_by_one` makes every sequence one of these.
        """
        return tapped(self.taps, what, value, layer)

    def one_by_one(self, obs: Tensor, state: Any, resets: Tensor, repeats: Repeats) -> tuple[PolicyValue, Any]:
        """`unroll` as T single steps, of which ``taps`` is told the number."""
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
        """Ticks of each of ``steps`` steps, checked."""
        repeats = self.repeats_per_step if repeats is None else repeats
        each = [repeats] * steps if isinstance(repeats, int) else [int(r) for r in repeats]
        if len(each) != steps or min(each) < 1:
            raise ConfigError("repeats", repeats, f"a number of at least 1, or {steps} of them, one for each step")
        return each


@torch.no_grad()
def num_actions(policy: Policy) -> int:
    """|A|, which not every policy keeps."""
    weight = next(policy.parameters())
    return policy(torch.zeros(1, *policy.obs_shape, device=weight.device))[0].policy_logits.shape[-1]


def as_floats(obs: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 observations scaled to [0, 1]; floats unchanged but for the dtype."""
    return obs.to(dtype) / 255 if obs.dtype == torch.uint8 else obs.to(dtype)

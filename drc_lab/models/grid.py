"""Base classes of policies on boards of any height and width; the architectures compared with the DRC use them."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.utils._pytree import tree_map

from drc_lab.models.drc_core import keep_masks
from drc_lab.models.heads import Head, make_head
from drc_lab.models.policy import Device, DType, Policy, PolicyValue, Repeats, as_floats
from drc_lab.models.spatial import check_planes
from drc_lab.models.specs import HeadSpec, check_obs_shape
from drc_lab.rules import at_least


class GridPolicy(Policy):
    """A policy without memory: an encoder, then a head. More ticks change nothing.

    A subclass implements `encode` and calls `attach_head` in its constructor. Encoder and head process all steps of a
    sequence at once. Except in a flatten head, no weight depends on the board's size.

    Args:
        obs_shape: (C_in, H, W).
        num_actions: |A|.
        sizes: further arguments of the subclass that have to be at least 1.

    Raises:
        ConfigError: naming the size that is not allowed.
    """

    obs_shape: tuple[int, int, int]
    head: Head

    def __init__(self, obs_shape: Sequence[int], num_actions: int, **sizes: int):
        super().__init__()
        for key, found in {"num_actions": num_actions, **sizes}.items():
            at_least(key, [found], 1)
        self.obs_shape = check_obs_shape(tuple(obs_shape))
        self.num_actions = num_actions

    def attach_head(self, spec: HeadSpec, shape: tuple[int, int, int]) -> None:
        """Creates ``self.head``, which reads maps of this shape (C, H, W), and sets ``any_size``."""
        self.head = make_head(spec, shape, self.num_actions)
        self.any_size = self.head.any_size

    @abstractmethod
    def encode(self, x: Float[Tensor, "N C_in H W"]) -> Float[Tensor, "N ..."]:
        """Encodes float observations [N, C_in, H, W], channels-last, as [N, ...] for `recur`, or for the head."""

    def recur(
        self, e: Float[Tensor, "T B *encoded"], state: Any, resets: Bool[Tensor, "T B"], ticks: Sequence[int]
    ) -> tuple[Float[Tensor, "T B C H W"], Any]:
        """Computes what the head reads [T, B, C, H, W] from e [T, B, ...], and the carry; here, returns both unchanged.

        Args:
            e: encoded observations.
            state: the carry before the first step.
            resets: bool [T, B], see `Policy.unroll`.
            ticks: number of ticks of each step, length T.
        """
        return e, state

    def init_state(
        self, batch: int, H: int | None = None, W: int | None = None, device: Device = None, dtype: DType = None
    ) -> Any:
        """Returns (): the policy has no memory."""
        return ()

    def unroll(
        self, obs: Shaped[Tensor, "T B *obs"], state: Any, resets: Bool[Tensor, "T B"], repeats: Repeats = None
    ) -> tuple[PolicyValue, Any]:
        T, B = obs.shape[:2]
        if self.taps is not None and T > 1:
            return self.one_by_one(obs, state, resets, repeats)
        ticks = self.repeats_of(repeats, T)
        check_planes(obs, self.obs_shape)
        x = as_floats(obs.flatten(0, 1), self.head.proj.weight.dtype)  # (T*B, C_in, H, W)
        e = self.tapped("encoding", self.encode(x.contiguous(memory_format=torch.channels_last)))  # (T*B, ...)
        features, state = self.recur(e.unflatten(0, (T, B)), state, resets, ticks)  # (T, B, C, H, W)
        read = self.tapped("head_input", features.flatten(0, 1))  # (T*B, C, H, W)
        logits, value = self.head(read, self.taps)  # (T*B, A), (T*B, 1)
        return PolicyValue(logits.unflatten(0, (T, B)), value.unflatten(0, (T, B))), state


class RecurrentGridPolicy(GridPolicy):
    """A policy with a carry that is updated by ``repeats_per_step`` ticks at every step.

    A subclass implements `encode`, `tick`, `read` and `init_state`. Ticks and `read` run step by step; encoder and
    head process all steps at once.
    """

    @abstractmethod
    def init_state(
        self, batch: int, H: int | None = None, W: int | None = None, device: Device = None, dtype: DType = None
    ) -> Any:
        """See `Policy.init_state`."""

    @abstractmethod
    def tick(self, e: Float[Tensor, "B *encoded"], state: Any) -> Any:
        """Returns the carry after one tick, given the encoded observations e [B, ...]."""

    @abstractmethod
    def read(self, state: Any, e: Float[Tensor, "B *encoded"]) -> Float[Tensor, "B C H W"]:
        """Returns the map [B, C, H, W] that the head reads, from the carry after a step's last tick."""

    def recur(
        self, e: Float[Tensor, "T B *encoded"], state: Any, resets: Bool[Tensor, "T B"], ticks: Sequence[int]
    ) -> tuple[Float[Tensor, "T B C H W"], Any]:
        dtype = self.head.proj.weight.dtype
        keep = keep_masks(resets, [1] * len(ticks), dtype)  # (T + 1, B)
        state = tree_map(lambda s: s.to(dtype), state)
        maps = []
        for t, number in enumerate(ticks):
            state = tree_map(lambda s, keep=keep[t]: s * keep.view(-1, *[1] * (s.ndim - 1)), state)
            for tick in range(number):
                if self.taps is not None:
                    self.taps.tick = tick
                state = self.tick(e[t], state)
            maps.append(self.read(state, e[t]))
        return torch.stack(maps), state

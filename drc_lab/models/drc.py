"""The Deep Repeating ConvLSTM policy (the project's guide; Guez et al. 2019, Taufeeque et al. 2024)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from drc_lab.arguments import takes
from drc_lab.models.compiled.acting import CompiledActing
from drc_lab.models.drc_core import DRCStack, State
from drc_lab.models.encoders import SimpleConvEncoder
from drc_lab.models.heads import make_head
from drc_lab.models.policy import Device, DType, Policy, PolicyValue, Repeats, as_floats
from drc_lab.models.spatial import check_planes
from drc_lab.models.specs import DRCSpec


class DRCPolicy(Policy):
    """A convolutional encoder, L ConvLSTM layers that run for R ticks per step, and a head.

    The defaults are the guide's; the switches reproduce the published agents (conf/policy has a preset for each).
    Except for the flatten head, everything works on boards of any height and width.

    See `DRCSpec` for the arguments.
    """

    @takes(DRCSpec)
    def __init__(self, spec: DRCSpec):
        super().__init__()
        channels, height, width = self.obs_shape = spec.obs_shape
        self.num_actions = spec.num_actions
        self.repeats_per_step = spec.repeats_per_step
        self.encoding_to_head = spec.encoding_to_head
        C = spec.hidden_channels
        self.encoder = SimpleConvEncoder(
            channels, C, spec.encoder_kernel_size, spec.conv_init, spec.encoder_layers, spec.encoder_relu
        )
        self.stack = DRCStack(C, spec.num_layers, spec.wiring, spec.recompute_steps, spec.recurrent_precision)
        features = 2 * C if spec.encoding_to_head == "concat" else C
        shape = (features, height, width)
        self.head = make_head(spec, shape, spec.num_actions)
        self.any_size = self.head.any_size
        self._acting: CompiledActing | None = None

    def init_state(
        self, batch: int, H: int | None = None, W: int | None = None, device: Device = None, dtype: DType = None
    ) -> State:
        """Zeros: (h_list, c_list), each of L tensors [B, C, H, W]."""
        return self.stack.init_state(batch, H or self.obs_shape[1], W or self.obs_shape[2], device, dtype)

    def bytes_of_a_tick(self) -> int:
        return self.stack.values_of_a_tick(*self.obs_shape[1:]) * self.head.proj.weight.element_size()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        before = self._acting
        if before is None and type(self) is DRCPolicy and CompiledActing.suits(self):  # a subclass may differ anywhere
            self._acting = CompiledActing(self)
        try:
            with self.stack.frozen():
                yield
        finally:
            self._acting = before

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_acting": None}  # it refers to this policy's weights, not to the copy's

    def unroll(
        self, obs: Shaped[Tensor, "T B *obs"], state: State, resets: Bool[Tensor, "T B"], repeats: Repeats = None
    ) -> tuple[PolicyValue, State]:
        T, B = obs.shape[:2]
        check_planes(obs, self.obs_shape)
        if self.taps is not None and T > 1:
            return self.one_by_one(obs, state, resets, repeats)
        if self._acting is not None and self.taps is None and self._acting.takes(obs):
            return self._acting.unroll(obs, state, resets, self.repeats_of(repeats, T))
        x = as_floats(obs.flatten(0, 1), self.head.proj.weight.dtype)  # (T*B, C_in, H, W)
        e = self.tapped("encoding", self.encoder(x.contiguous(memory_format=torch.channels_last)))  # (T*B, C, H, W)
        h_top, state = self.stack(e.unflatten(0, (T, B)), state, resets, self.repeats_of(repeats, T), self.taps)
        read = self.tapped("head_input", self._head_input(h_top.flatten(0, 1), e))  # (T*B, C or 2C, H, W)
        logits, value = self.head(read, self.taps)  # (T*B, A), (T*B, 1)
        return PolicyValue(logits.unflatten(0, (T, B)), value.unflatten(0, (T, B))), state

    def _head_input(self, h_top: Tensor, e: Tensor) -> Tensor:
        if self.encoding_to_head == "concat":
            return torch.cat([e, h_top], dim=1)
        return h_top + e if self.encoding_to_head == "add" else h_top  # (N, C, H, W)

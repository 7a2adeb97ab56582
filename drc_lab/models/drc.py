"""The Deep Repeating ConvLSTM policy (guide of the seeds; Guez et al. 2019, Taufeeque et al. 2024)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from drc_lab.errors import ConfigError
from drc_lab.models.compiled.acting import CompiledActing
from drc_lab.models.drc_core import DRCStack, State
from drc_lab.models.encoders import SimpleConvEncoder
from drc_lab.models.heads import make_head
from drc_lab.models.policy import Policy, PolicyValue, Repeats, as_floats
from drc_lab.models.spatial import check_obs_shape, check_planes
from drc_lab.models.wiring import Wiring

ENCODING_TO_HEAD = ("none", "add", "concat")


class DRCPolicy(Policy):
    """Encoder of plain convolutions, L ConvLSTM layers run for R ticks a step, head.

    The defaults are the guide's; the switches reach the published agents (conf/policy has a preset for each).
    Everything but the flatten head works on any height and width.

    Args:
        obs_shape: (C_in, H, W).
        num_actions: |A|.
        hidden_channels: C, of the encoding, the hidden and the cell states.
        num_layers: L.
        repeats_per_step: R, the default number of ticks for each observation.
        kernel_size: odd, of the gate convolutions.
        pool_and_inject, use_boundary_channel: whether each layer sees the mean and max of a map, and the board's edge.
        proj_dim: width of the head's shared layer.
        head: "flatten" (one board size), "mean", "pool" or "cells" (any size), see `drc_lab.models.heads`.
        encoding_to_head: whether the head reads the top hidden state alone ("none"), plus the encoding ("add",
            Taufeeque et al. 2024), or beside it ("concat", encoding first, Bush et al. 2025).
        encoder_layers, encoder_kernel_size, encoder_relu: see `drc_lab.models.encoders`.
        pool_source, pool_projection, boundary_ring, top_to_bottom, residual, output_gate, forget_bias, unused_gate:
            see `drc_lab.models.wiring`.
        conv_init, proj_init, head_init: how weights start, see `drc_lab.models.init`.
        recompute_steps: None keeps what every tick computed for the backward pass; a number keeps only the carry
            between as many steps, and runs their ticks anew: less memory and more time (experiments/benchmarks).

    Raises:
        ConfigError: a size that cannot work, or a switch that cannot be so.
    """

    def __init__(
        self,
        obs_shape: tuple[int, int, int],
        num_actions: int,
        hidden_channels: int = 32,
        num_layers: int = 3,
        repeats_per_step: int = 3,
        kernel_size: int = 3,
        pool_and_inject: bool = True,
        use_boundary_channel: bool = True,
        proj_dim: int = 256,
        head: str = "flatten",
        encoding_to_head: str = "none",
        encoder_layers: int = 2,
        encoder_kernel_size: int = 3,
        encoder_relu: bool = False,
        pool_source: str = "own",
        pool_projection: str = "linear",
        boundary_ring: str = "edge",
        top_to_bottom: bool = False,
        residual: str = "none",
        output_gate: str = "tanh",
        forget_bias: float = 1.0,
        unused_gate: bool = False,
        conv_init: str = "kaiming",
        proj_init: str = "small",
        head_init: str = "small",
        recompute_steps: int | None = None,
    ):
        super().__init__()
        at_least_one = {
            "num_actions": num_actions,
            "hidden_channels": hidden_channels,
            "num_layers": num_layers,
            "repeats_per_step": repeats_per_step,
            "proj_dim": proj_dim,
            "encoder_layers": encoder_layers,
            "encoder_kernel_size": encoder_kernel_size,
            "recompute_steps": 1 if recompute_steps is None else recompute_steps,
        }
        for key, found in at_least_one.items():
            if found < 1:
                raise ConfigError(key, found, "at least 1")
        if encoding_to_head not in ENCODING_TO_HEAD:
            raise ConfigError("encoding_to_head", encoding_to_head, " | ".join(ENCODING_TO_HEAD))
        channels, height, width = check_obs_shape(obs_shape)
        self.obs_shape = (channels, height, width)
        self.num_actions = num_actions
        self.repeats_per_step = repeats_per_step
        self.encoding_to_head = encoding_to_head
        C = hidden_channels
        self.encoder = SimpleConvEncoder(channels, C, encoder_kernel_size, conv_init, encoder_layers, encoder_relu)
        wiring = Wiring(
            kernel_size, pool_and_inject, pool_source, pool_projection, use_boundary_channel, boundary_ring,
            top_to_bottom, residual, output_gate, forget_bias, unused_gate, conv_init,
        )  # fmt: skip
        self.stack = DRCStack(C, num_layers, wiring, recompute_steps)
        features = 2 * C if encoding_to_head == "concat" else C
        self.head = make_head(head, (features, height, width), num_actions, proj_dim, proj_init, head_init)
        self.any_size = self.head.any_size
        self._acting: CompiledActing | None = None

    def init_state(self, batch: int, H: int | None = None, W: int | None = None, device=None, dtype=None) -> State:
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
        return self.__dict__ | {"_acting": None}  # a copy has weights of its own

    def unroll(self, obs: Tensor, state: State, resets: Tensor, repeats: Repeats = None) -> tuple[PolicyValue, State]:
        T, B = obs.shape[:2]
        check_planes(obs, self.obs_shape)
        if self._acting is not None and self._acting.takes(obs):
            return self._acting.unroll(obs, state, resets, self.repeats_of(repeats, T))
        x = as_floats(obs.flatten(0, 1), self.head.proj.weight.dtype)  # (T*B, C_in, H, W)
        e = self.encoder(x.contiguous(memory_format=torch.channels_last))  # (T*B, C, H, W)
        h_top, state = self.stack(e.unflatten(0, (T, B)), state, resets, self.repeats_of(repeats, T))
        logits, value = self.head(self._head_input(h_top.flatten(0, 1), e))  # (T*B, A), (T*B, 1)
        return PolicyValue(logits.unflatten(0, (T, B)), value.unflatten(0, (T, B))), state

    def _head_input(self, h_top: Tensor, e: Tensor) -> Tensor:
        if self.encoding_to_head == "concat":
            return torch.cat([e, h_top], dim=1)
        return h_top + e if self.encoding_to_head == "add" else h_top  # (N, C, H, W)

"""The recurrent core of the DRC: one ConvLSTM layer, pool-and-inject, and the stack that runs them for R ticks."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from drc_lab.models.init import init_conv
from drc_lab.models.spatial import boundary_channel, tap_kinds
from drc_lab.models.ticks import LayerTensors, TickPlan, run_ticks

State = tuple[list[Tensor], list[Tensor]]


class PoolAndInject(nn.Module):
    """A learned linear mix of the mean and the max of a map, sent back to every cell (guide 2.3).

    Args:
        channels: C of the hidden state.
        out_channels: C_pi.
    """

    def __init__(self, channels: int, out_channels: int, conv_init: str = "kaiming"):
        super().__init__()
        self.mix = nn.Conv2d(2 * channels, out_channels, 1)
        init_conv(self.mix, conv_init)

    def forward(self, h: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C_pi, H, W], the same at every cell."""
        pooled = torch.cat([F.adaptive_avg_pool2d(h, 1), F.adaptive_max_pool2d(h, 1)], dim=1)  # (B, 2C, 1, 1)
        return self.mix(pooled).expand(-1, -1, *h.shape[2:])


class ConvLSTMCell(nn.Module):
    """The weights of one layer: a fused gate convolution over [e, pooled, h of the layer below, boundary, own h].

    Gates in the order i, f, g, o; i and f sigmoid, g and o tanh (guide 2.2). The forget bias starts at 1.

    Args:
        channels: C of hidden and cell state, and of the encoding.
        has_lower: whether there is a layer below.
        pool_and_inject, boundary: which of the two extra inputs exist.
    """

    def __init__(
        self,
        channels: int,
        has_lower: bool,
        kernel_size: int = 3,
        pool_and_inject: bool = True,
        boundary: bool = True,
        conv_init: str = "kaiming",
    ):
        super().__init__()
        C = channels
        self.channels, self.kernel_size = C, kernel_size
        self.parts = {
            "e": C,
            "pooled": C * pool_and_inject,
            "lower": C * has_lower,
            "boundary": int(boundary),
            "own": C,
        }
        self.pool = PoolAndInject(C, C, conv_init) if pool_and_inject else None
        self.gates = nn.Conv2d(sum(self.parts.values()), 4 * C, kernel_size, padding=kernel_size // 2)
        init_conv(self.gates, conv_init)
        with torch.no_grad():
            self.gates.get_parameter("bias")[C : 2 * C] += 1.0

    def forward(self, e: Tensor, h_lower: Tensor | None, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """One tick as the guide writes it, for reading, hooks and tests; sequences run through `DRCStack`.

        All maps are [B, C, H, W]; returns the new (h, c).
        """
        inputs = [e]
        if self.pool is not None:
            inputs.append(self.pool(h))
        if h_lower is not None:
            inputs.append(h_lower)
        if self.parts["boundary"]:
            inputs.append(boundary_channel(*h.shape[2:], h.device, h.dtype).expand(len(h), -1, -1, -1))
        i, f, g, o = self.gates(torch.cat([*inputs, h], dim=1)).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.tanh(o) * torch.tanh(c), c

    def hoist(self, e: Tensor, inside: Tensor, kind: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Splits the gate convolution into what a step's ticks share and what they do not.

        Args:
            e: [N, C, H, W], channels-last.
            inside, kind: from `tap_kinds`.

        Returns:
            drive [N, P, 4C], weight [4C, D, k, k] of the recurrent input [lower, own], inject [K * 4C, 2C].
        """
        C, (H, W) = self.channels, e.shape[2:]
        w_e, w_pool, w_lower, w_boundary, w_own = self.gates.weight.split(list(self.parts.values()), dim=1)
        pad = self.kernel_size // 2
        drive = F.conv2d(e, w_e.contiguous(memory_format=torch.channels_last), self.gates.bias, padding=pad)
        drive = drive.permute(0, 2, 3, 1).flatten(1, 2)  # (N, P, 4C)
        if self.parts["boundary"]:
            edge = F.conv2d(
                boundary_channel(H, W, e.device, self.gates.weight.dtype), w_boundary, padding=pad
            )  # (1, 4C, H, W)
            drive = drive + edge.flatten(2).transpose(1, 2)
        inject = e.new_empty(0)
        if self.pool is not None:
            # A constant plane through the convolution: sum the taps that are inside, per kind of cell.
            taps = torch.einsum("kt,oct->koc", inside.to(w_pool.dtype), w_pool.flatten(2)).flatten(0, 1)  # (K*4C, C_pi)
            inject = taps @ self.pool.mix.weight.flatten(1)  # (K*4C, 2C)
            drive = drive + (taps @ self.pool.mix.get_parameter("bias")).view(-1, 4 * C)[kind]
        weight = torch.cat([w_lower, w_own], dim=1).contiguous(memory_format=torch.channels_last)
        return drive, weight, inject


class DRCStack(nn.Module):
    """L ConvLSTM layers, run for R ticks a step (guide 2.5).

    Within a tick layer l reads the new h of layer l - 1; the top layer reaches the first only through time.
    """

    def __init__(
        self,
        channels: int,
        num_layers: int,
        kernel_size: int = 3,
        pool_and_inject: bool = True,
        boundary: bool = True,
        conv_init: str = "kaiming",
    ):
        super().__init__()
        self.channels, self.kernel_size = channels, kernel_size
        self.cells = nn.ModuleList(
            ConvLSTMCell(channels, layer > 0, kernel_size, pool_and_inject, boundary, conv_init)
            for layer in range(num_layers)
        )

    def init_state(self, batch: int, H: int, W: int, device=None, dtype=None) -> State:
        """Zeros: (h_list, c_list), each of L tensors [B, C, H, W]."""
        shape = (batch, self.channels, H, W)
        h, c = ([torch.zeros(shape, device=device, dtype=dtype) for _ in self.cells] for _ in range(2))
        return h, c

    def forward(self, e: Tensor, state: State, resets: Tensor, repeats: Sequence[int]) -> tuple[Tensor, State]:
        """The whole sequence.

        Args:
            e: [T, B, C, H, W] encoded observations.
            state: the carry before the first step.
            resets: bool [T, B], true where the observation is the first of an episode. This is the one place where
                the carry is zeroed: before the first tick of that step.
            repeats: ticks of each step, length T.

        Returns:
            h_top [T, B, C, H, W] after each step's last tick, and the carry after the last step.
        """
        T, B, _, H, W = e.shape
        e = e.flatten(0, 1).contiguous(memory_format=torch.channels_last)  # (T*B, C, H, W)
        inside, kind = tap_kinds(H, W, self.kernel_size, e.device)
        dtype = next(self.parameters()).dtype  # under autocast e has another
        plan = TickPlan(tuple(repeats), keep_masks(resets, repeats, dtype), kind, H, W)
        layers = []
        for cell, h, c in zip(self.cells, *state, strict=True):
            assert isinstance(cell, ConvLSTMCell)
            drive, weight, inject = cell.hoist(e, inside, kind)
            drive = drive.unflatten(0, (T, B)).contiguous()  # (T, B, P, 4C)
            layers.append(LayerTensors(drive, weight, inject, _to_cells(h, dtype), _to_cells(c, dtype)))
        h_top, h_list, c_list = run_ticks(plan, layers)
        return _to_map(h_top, H, W), ([_to_map(h, H, W) for h in h_list], [_to_map(c, H, W) for c in c_list])


def keep_masks(resets: Tensor, repeats: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Resets [T, B] as what multiplies the carry before each tick: [N + 1, B], the last row (no tick) all ones."""
    keep = torch.ones(sum(repeats) + 1, resets.shape[1], device=resets.device, dtype=dtype)
    first_ticks = torch.tensor(repeats).cumsum(0) - torch.tensor(repeats)
    keep[first_ticks.to(resets.device)] = (~resets).to(dtype)
    return keep


def _to_cells(image: Tensor, dtype: torch.dtype) -> Tensor:
    return image.to(dtype).permute(0, 2, 3, 1).flatten(1, 2).contiguous()  # (B, C, H, W) -> (B, P, C)


def _to_map(cells: Tensor, H: int, W: int) -> Tensor:
    return cells.unflatten(-2, (H, W)).movedim(-1, -3)  # (..., P, C) -> (..., C, H, W)

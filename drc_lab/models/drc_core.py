"""The recurrent core of the DRC: one ConvLSTM layer, pool-and-inject, and the stack that runs them for R ticks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from drc_lab.models.compiled.engine import CompiledTicks
from drc_lab.models.init import init_conv
from drc_lab.models.policy import Device, DType
from drc_lab.models.pooling import PoolAndInject
from drc_lab.models.precision import has_bfloat16
from drc_lab.models.spatial import boundary_channel, tap_kinds
from drc_lab.models.taps import Taps, tapped
from drc_lab.models.tick_plan import TickPlan, TickWeights
from drc_lab.models.ticks import run_ticks
from drc_lab.models.wiring import Wiring

GUIDE = Wiring()
State = tuple[list[Float[Tensor, "B C H W"]], list[Float[Tensor, "B C H W"]]]  # h and c of each layer
CellState = tuple[list[Float[Tensor, "B P C"]], list[Float[Tensor, "B P C"]]]  # the same in the tick loop's layout


class ConvLSTMCell(nn.Module):
    """One ConvLSTM layer: a single gate convolution over [e, pooled, below, boundary, own h].

    Gates are in the order i, f, g, o; i and f are sigmoids, g is a tanh, and o a tanh (guide 2.2) or a sigmoid,
    depending on ``wiring.output_gate``. "below" is the hidden state of the layer below (or a sum, see
    ``wiring.residual``); for the first layer it is the top layer's of the previous tick, or nothing. The weights of
    the published agents name the gates differently: our i is their j, our g is their i.

    Args:
        channels: C, channels of the hidden state, the cell state and the encoding.
        has_below: whether the layer reads a map from below.
        wiring: see `drc_lab.models.wiring`.
    """

    def __init__(self, channels: int, has_below: bool, wiring: Wiring = GUIDE):
        super().__init__()
        C = channels
        self.channels, self.wiring = C, wiring
        self.parts = {
            "e": C,
            "pooled": C * wiring.pool_and_inject,
            "below": C * has_below,
            "boundary": int(wiring.use_boundary_channel),
            "own": C,
        }
        self.pool = PoolAndInject(C, wiring.pool_projection, wiring.conv_init) if wiring.pool_and_inject else None
        k = wiring.kernel_size
        self.gates = nn.Conv2d(sum(self.parts.values()), (4 + wiring.unused_gate) * C, k, padding=k // 2)
        init_conv(self.gates, wiring.conv_init, self._published_convs())
        with torch.no_grad():
            self.gates.get_parameter("bias")[C : 2 * C] += wiring.forget_bias

    def _published_convs(self) -> tuple[int, ...]:
        """Input channels of the three separate convolutions that the published code has instead of this one.

        The "lecun" initialisation scales by their fan-ins.
        """
        parts = self.parts
        return parts["e"] + parts["pooled"] + parts["below"], parts["boundary"], parts["own"]

    def split_gates(self) -> tuple[dict[str, Float[Tensor, "C4 D k k"]], Float[Tensor, "C4"]]:
        """The gate weights split by the D channels of each input that they read, and the bias."""
        weight, bias = (p[: 4 * self.channels] for p in (self.gates.weight, self.gates.get_parameter("bias")))
        return dict(zip(self.parts, weight.split(list(self.parts.values()), dim=1), strict=True)), bias

    def boundary_drive(self, height: int, width: int) -> Float[Tensor, "1 C4 {height} {width}"]:
        """The contribution of the boundary plane to the pre-activations."""
        weight, k = self.split_gates()[0]["boundary"], self.wiring.kernel_size
        outside = self.wiring.boundary_ring == "outside"
        grow = k - 1 if outside else 0
        ring = boundary_channel(height + grow, width + grow, weight.device, weight.dtype)
        return F.conv2d(ring, weight, padding=0 if outside else k // 2)

    def forward(
        self,
        e: Float[Tensor, "B C H W"],
        below: Float[Tensor, "B C H W"] | None,
        h: Float[Tensor, "B C H W"],
        c: Float[Tensor, "B C H W"],
        taps: Taps | None = None,
        layer: int = 0,
    ) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, "B C H W"]]:
        """Runs one tick of this layer in the guide's plain formulation, and returns the new (h, c).

        This is what exports, taps and wirings without a fused loop run; everything else runs in `drc_lab.models.ticks`.
        """
        inputs = {"e": e, "below": below, "own": h}
        if self.pool is not None:
            pooled = self.pool(h if self.wiring.pool_source == "own" else below)
            inputs["pooled"] = tapped(taps, "pooled", pooled, layer)
        seen = {name: x for name, x in inputs.items() if x is not None}
        weights, bias = self.split_gates()
        weight = torch.cat([weights[name] for name in seen], dim=1)
        z = F.conv2d(torch.cat(list(seen.values()), dim=1), weight, bias, padding=self.wiring.kernel_size // 2)
        if self.wiring.use_boundary_channel:
            z = z + self.boundary_drive(*h.shape[2:])
        i, f, g, o = tapped(taps, "pre", z, layer).chunk(4, dim=1)  # (B, 4C, H, W) -> 4 x (B, C, H, W)
        i, f, g = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g)
        o = torch.tanh(o) if self.wiring.output_gate == "tanh" else torch.sigmoid(o)
        i, f, g, o = (tapped(taps, *gate, layer) for gate in (("i", i), ("f", f), ("g", g), ("o", o)))
        c = tapped(taps, "c", f * c + i * g, layer)
        return tapped(taps, "h", o * torch.tanh(c), layer), c

    def hoist(self, height: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """This layer's weights in the form that the tick loop uses, see `TickWeights`: drive, base, recurrent, inject.

        Everything that does not depend on observations or carry (biases, boundary plane) is added up in base.
        """
        C = self.channels
        weights, bias = self.split_gates()
        base = bias.expand(height * width, -1)  # (P, 4C)
        if self.wiring.use_boundary_channel:
            base = base + self.boundary_drive(height, width)[0].flatten(1).t()
        inject = bias.new_empty(0)
        if self.pool is not None:
            # Pool-and-inject gives spatially constant planes. Convolving one amounts to summing, for each kind of
            # cell, the weights of the taps that fall inside the board.
            inside, kind = tap_kinds(height, width, self.wiring.kernel_size, bias.device)
            taps = torch.einsum("kt,oct->koc", inside.to(bias.dtype), weights["pooled"].flatten(2)).flatten(0, 1)
            inject = taps @ self.pool.matrix(bias).to(bias)  # (K*4C, C) x (C, 2C) -> (K*4C, 2C)
            if self.pool.bias is not None:
                base = base + (taps @ self.pool.bias).view(-1, 4 * C)[kind]
        return weights["e"], base, torch.cat([weights["below"], weights["own"]], dim=1), inject


class DRCStack(nn.Module):
    """L ConvLSTM layers, run for R ticks per step (guide 2.5).

    Within a tick layer l reads the new h of layer l - 1. The first layer can read the top layer's h only from the
    previous tick, and only with ``top_to_bottom``.

    Args:
        channels: C.
        num_layers: L.
        wiring: see `drc_lab.models.wiring`.
        recompute_steps, recurrent_precision: see `drc_lab.models.specs.DRCSpec`.
    """

    def __init__(
        self,
        channels: int,
        num_layers: int,
        wiring: Wiring = GUIDE,
        recompute_steps: int | None = None,
        recurrent_precision: str = "float32",
    ):
        super().__init__()
        self.channels, self.wiring, self.recompute_steps = channels, wiring, recompute_steps
        self.recurrent_precision = recurrent_precision
        self._frozen: dict[tuple[int, int], TickWeights] | None = None
        self.cells = nn.ModuleList(
            ConvLSTMCell(channels, layer > 0 or wiring.top_to_bottom, wiring) for layer in range(num_layers)
        )

    def tick(self, e: Float[Tensor, "B C H W"], state: State, taps: Taps | None = None) -> State:
        """One tick of all layers in the guide's plain formulation."""
        h, c = list(state[0]), list(state[1])
        below = h[-1] if self.wiring.top_to_bottom else None
        for i, cell in enumerate(self.cells):
            h[i], c[i] = cell(e, below, h[i], c[i], taps, i)
            below = h[i] if self.wiring.residual == "none" or below is None else below + h[i]
        if self.wiring.residual == "layers_and_carry" and below is not None:
            h[-1] = below
        return h, c

    def init_state(self, batch: int, H: int, W: int, device: Device = None, dtype: DType = None) -> State:
        """Zeros: (h_list, c_list), each of L tensors [B, C, H, W]."""
        shape = (batch, self.channels, H, W)
        h, c = ([torch.zeros(shape, device=device, dtype=dtype) for _ in self.cells] for _ in range(2))
        return h, c

    def forward(
        self,
        e: Float[Tensor, "T B C H W"],
        state: State,
        resets: Bool[Tensor, "T B"],
        repeats: Sequence[int],
        taps: Taps | None = None,
    ) -> tuple[Float[Tensor, "T B C H W"], State]:
        """Runs the recurrence over a whole sequence.

        Args:
            e: encoded observations.
            state: the carry before the first step.
            resets: true where the observation is the first of an episode. The carry is zeroed before the
                first tick of that step, and nowhere else.
            repeats: ticks of each step, length T.
            taps: reads or replaces intermediate tensors; requires T = 1.

        Returns:
            h_top after each step's last tick, and the carry after the last step.
        """
        if taps is not None and taps.only_read_carry and self._runs_compiled(e):
            return self._shown(e, state, resets, repeats, taps)
        if taps is not None or not self.wiring.runs_fused:
            return self._unfused(e, state, resets, repeats, taps)
        T, B, _, H, W = e.shape
        dtype = next(self.parameters()).dtype  # under autocast e has a different dtype
        e = e.to(dtype).flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (T, B))
        h, c = self.cells_of(state)
        size, tops = self.recompute_steps or T, []
        with torch.autocast(e.device.type, enabled=False):  # the recurrence keeps the precision of its weights
            weights = self.tick_weights(H, W)
            for t in range(0, T, size):
                plan = self.plan(resets[t : t + size], repeats[t : t + size], H, W)
                h_top, h, c = run_ticks(plan, e[t : t + size], weights, h, c, self.recompute_steps is not None)
                tops.append(h_top)
        h_top = torch.cat(tops) if len(tops) > 1 else tops[0]  # (T, B, P, C)
        return _to_map(h_top, H, W), self.maps_of((h, c), H, W)

    def plan(self, resets: Bool[Tensor, "T B"], repeats: Sequence[int], H: int, W: int) -> TickPlan:
        """The `TickPlan` of a sequence."""
        weight, sigmoid = next(self.parameters()), self.wiring.output_gate == "sigmoid"
        inside, kind = tap_kinds(H, W, self.wiring.kernel_size, weight.device)
        keep = keep_masks(resets, repeats, weight.dtype)
        bfloat16 = self.recurrent_precision == "bfloat16" and has_bfloat16(weight.device)
        return TickPlan(tuple(repeats), keep, kind, len(inside), H, W, sigmoid, bfloat16)

    def cells_of(self, state: State) -> CellState:
        """Converts the carry to the layout of the tick loop."""
        dtype = next(self.parameters()).dtype
        h, c = ([x.to(dtype).permute(0, 2, 3, 1).flatten(1, 2).contiguous() for x in maps] for maps in state)
        return h, c

    def maps_of(self, state: CellState, H: int, W: int) -> State:
        """Converts the carry back from the layout of the tick loop."""
        h, c = ([_to_map(x, H, W) for x in cells] for cells in state)
        return h, c

    def values_of_a_tick(self, H: int, W: int) -> int:
        """Number of values that the backward pass stores per board and tick: 4 gates, cell state and hidden state.

        0 with ``recompute_steps``, where almost nothing is stored.
        """
        return 0 if self.recompute_steps is not None else 6 * len(self.cells) * self.channels * H * W

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Context in which the weights must not change, so that `tick_weights` is computed once per board size."""
        before, self._frozen = self._frozen, self._frozen or {}
        try:
            yield
        finally:
            self._frozen = before

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_frozen": None}  # a copy's weights may change independently of the cache

    def tick_weights(self, height: int, width: int) -> TickWeights:
        """The weights of all layers in the form that the tick loop uses, for a board of this size."""
        if self._frozen is not None and not torch.is_grad_enabled():
            if (height, width) not in self._frozen:
                self._frozen[height, width] = self._tick_weights(height, width)
            return self._frozen[height, width]
        return self._tick_weights(height, width)

    def _tick_weights(self, height: int, width: int) -> TickWeights:
        hoisted = (cast(ConvLSTMCell, cell).hoist(height, width) for cell in self.cells)
        drive, base, recurrent, inject = zip(*hoisted, strict=True)
        return TickWeights(
            torch.cat(drive).contiguous(memory_format=torch.channels_last), torch.cat(base, dim=1).contiguous(),
            [w.contiguous(memory_format=torch.channels_last) for w in recurrent], list(inject),
        )  # fmt: skip

    def _runs_compiled(self, e: Tensor) -> bool:
        plain = e.device.type == "cpu" and next(self.parameters()).dtype == torch.float32
        return plain and self.wiring.runs_fused and not torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")

    def _shown(
        self, e: Tensor, state: State, resets: Tensor, repeats: Sequence[int], taps: Taps
    ) -> tuple[Tensor, State]:
        """Runs one step in the compiled loop, then passes the h and c of every tick and layer to ``taps``.

        What the taps return is ignored, so this is only for taps that read. Returns the same as `forward`.
        """
        H, W = e.shape[3:]
        ticks = CompiledTicks(self.plan(resets, repeats, H, W), self.tick_weights(H, W))
        h_top, h, c = ticks.forward(e.to(torch.float32), *self.cells_of(state), save=True)
        kept = ticks.kept
        assert kept is not None
        for tick in range(repeats[0]):
            taps.tick = tick
            for layer in range(len(h)):
                for what, maps in (("c", kept.cells), ("h", kept.hidden)):  # (B, L, N + 1, P, C); 0 is the old carry
                    taps(what, _to_map(maps[:, layer, tick + 1], H, W), layer)
        return _to_map(h_top, H, W), self.maps_of((h, c), H, W)

    def _unfused(
        self, e: Tensor, state: State, resets: Tensor, repeats: Sequence[int], taps: Taps | None = None
    ) -> tuple[Tensor, State]:
        keep, tops = keep_masks(resets, [1] * len(e), e.dtype)[:, :, None, None, None], []
        state = tree_map(lambda x: x.to(e.dtype), state)
        for t, ticks in enumerate(repeats):
            h, c = ([x * keep[t] for x in maps] for maps in state)
            for tick in range(ticks):
                if taps is not None:
                    taps.tick = tick
                h, c = self.tick(e[t], (h, c), taps)
            state = h, c
            tops.append(h[-1])
        return torch.stack(tops), state


def keep_masks(
    resets: Bool[Tensor, "T B"], repeats: Sequence[int], dtype: torch.dtype
) -> Float[Tensor, "{sum(repeats)+1} B"]:
    """Turns resets into factors [N + 1, B] by which the carry is multiplied before each of N ticks.

    They are 0 at the first tick of a step that starts an episode, else 1; the last row, after all ticks, is all ones.
    """
    keep = torch.ones(sum(repeats) + 1, resets.shape[1], device=resets.device, dtype=dtype)
    for t, first in enumerate(accumulate(repeats[:-1], initial=0)):  # indexing with a list would synchronise with a GPU
        torch.logical_not(resets[t], out=keep[first])
    return keep


def _to_map(cells: Tensor, H: int, W: int) -> Tensor:
    return cells.unflatten(-2, (H, W)).movedim(-1, -3)  # (..., P, C) -> (..., C, H, W)

"""The recurrent core of the DRC: the stack that runs its ConvLSTM layers for R ticks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from drc_lab.models.compiled.engine import CompiledTicks
from drc_lab.models.drc_cell import GUIDE, ConvLSTMCell
from drc_lab.models.policy import Device, DType
from drc_lab.models.precision import has_bfloat16
from drc_lab.models.spatial import tap_kinds
from drc_lab.models.taps import Taps
from drc_lab.models.tick_plan import TickPlan, TickWeights
from drc_lab.models.ticks import run_ticks
from drc_lab.models.wiring import Wiring

State = tuple[list[Float[Tensor, "B C H W"]], list[Float[Tensor, "B C H W"]]]  # h and c of each layer
CellState = tuple[list[Float[Tensor, "B P C"]], list[Float[Tensor, "B P C"]]]  # the same in the tick loop's layout


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
            torch.cat(drive).contiguous(memory_format=torch.channels_last),
            torch.cat(base, dim=1).contiguous(),
            [w.contiguous(memory_format=torch.channels_last) for w in recurrent],
            list(inject),
        )

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

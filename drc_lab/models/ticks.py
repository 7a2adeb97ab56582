"""The tick loop of the DRC over a whole sequence, with its gradient by hand.

Everything that does not change from tick to tick has been computed before (`DRCStack`); what is left per layer and
tick is one convolution of the recurrent input [h of the layer below, own h], a small matrix product for
pool-and-inject, and the fused gates. The backward pass keeps the gradients of all pre-activations and takes the
weights' gradients of a layer in large calls over many ticks, instead of one call a tick.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from drc_lab.models.gates import gates_for

SAMPLES_PER_WEIGHT_GRADIENT = 1024


class TickPlan(NamedTuple):
    """What the loop needs to know besides tensors that have gradients.

    repeats: ticks of each step, length T, N in all.
    keep: [N + 1, B], 0 where the carry is zeroed before that tick; the last row is all ones.
    kind: [P] the kind of each cell, for pool-and-inject.
    height, width: of the board, P = H * W.
    """

    repeats: tuple[int, ...]
    keep: Tensor
    kind: Tensor
    height: int
    width: int


class LayerTensors(NamedTuple):
    """One layer's differentiable inputs to the loop.

    drive: [T, B, P, 4C], the part of the pre-activations that a step's ticks share.
    weight: [4C, D, k, k], convolution of the recurrent input, D = C in the first layer and 2C above.
    inject: [K * 4C, 2C], from [mean, max] of own h to an addition for each kind of cell.
    h, c: [B, P, C], the carry before the first tick.
    """

    drive: Tensor
    weight: Tensor
    inject: Tensor
    h: Tensor
    c: Tensor


class _Buffers:
    """What one layer writes at each tick. Without gradients two slots are reused in turn."""

    def __init__(self, layer: LayerTensors, ticks: int, save: bool):
        batch, cells, C = layer.h.shape
        self.slots = ticks + 1 if save else min(ticks + 1, 2)
        new = layer.h.new_empty
        self.x = new(self.slots, batch, cells, layer.weight.shape[1])
        self.c = new(self.slots, batch, cells, C)
        self.pooled = new(self.slots, batch, 2 * C)
        self.argmax = new(self.slots, batch, C, dtype=torch.int32)
        self.acts = new(ticks if save else 1, batch, cells, 4 * C)

    def at(self, tick: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        slot = tick % self.slots
        return self.x[slot], self.c[slot], self.pooled[slot], self.argmax[slot]

    def start(self, layer: LayerTensors, keep: Tensor) -> None:
        x, c, pooled, argmax = self.at(0)
        C = c.shape[2]
        h = layer.h * keep[:, None, None]
        x[..., -C:] = h
        c.copy_(layer.c)
        pooled[:, :C] = h.mean(1)
        pooled[:, C:], argmax[:] = h.max(1)


def _as_map(cells: Tensor, plan: TickPlan) -> Tensor:
    """[N, P, F] -> [N, F, H, W] in channels-last order, without a copy."""
    return cells.unflatten(1, (plan.height, plan.width)).permute(0, 3, 1, 2)


def _as_cells(image: Tensor) -> Tensor:
    """[N, F, H, W] -> [N, P, F], without a copy when the image is channels-last."""
    return image.permute(0, 2, 3, 1).flatten(1, 2).contiguous()


def _conv_backward(dz: Tensor, x: Tensor, weight: Tensor, plan: TickPlan, want: list[bool]) -> tuple:
    pad = [weight.shape[2] // 2, weight.shape[3] // 2]
    return torch.ops.aten.convolution_backward(
        _as_map(dz, plan), _as_map(x, plan), weight, None, [1, 1], pad, [1, 1], False, [0, 0], 1, want
    )


class _Ticks(torch.autograd.Function):
    @staticmethod
    def forward(ctx, plan: TickPlan, save: bool, *flat: Tensor):
        layers = [LayerTensors(*flat[i : i + 5]) for i in range(0, len(flat), 5)]
        steps, batch, cells, _ = layers[0].drive.shape
        C, gates = layers[0].h.shape[2], gates_for(layers[0].h)
        ticks = sum(plan.repeats)
        buffers = [_Buffers(layer, ticks, save) for layer in layers]
        for layer, buffer in zip(layers, buffers, strict=True):
            buffer.start(layer, plan.keep[0])
        h_top = layers[0].h.new_empty(steps, batch, cells, C)
        # Stays zero where pool-and-inject is off: the gates add it in any case.
        injected = [layer.h.new_zeros(batch, int(plan.kind.max()) + 1, 4 * C) for layer in layers]
        n = 0
        for t, repeats in enumerate(plan.repeats):
            for _ in range(repeats):
                for i, (layer, buffer) in enumerate(zip(layers, buffers, strict=True)):
                    x, c_prev, pooled, _ = buffer.at(n)
                    x_own, c, pooled_next, argmax_next = buffer.at(n + 1)
                    x_up = buffers[i + 1].at(n)[0] if i + 1 < len(layers) else h_top[t]
                    pad = (layer.weight.shape[2] // 2, layer.weight.shape[3] // 2)
                    z = _as_cells(torch.conv2d(_as_map(x, plan), layer.weight, None, padding=pad))  # (B, P, 4C)
                    if layer.inject.numel():
                        torch.mm(pooled, layer.inject.t(), out=injected[i].view(batch, -1))
                    acts = buffer.acts[n if save else 0]
                    gates.forward(z, layer.drive[t], injected[i], plan.kind, c_prev, plan.keep[n], plan.keep[n + 1],
                                  acts, c, x_own, x_up, pooled_next, argmax_next)  # fmt: skip
                n += 1
        finals = []
        for buffer in buffers:
            x, c, _, _ = buffer.at(ticks)
            finals += [x[..., -C:].clone(), c.clone()]
        if save:
            ctx.plan, ctx.buffers = plan, buffers
            ctx.save_for_backward(*(t for layer in layers for t in (layer.weight, layer.inject)))
        return h_top, *finals

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_top: Tensor, *grad_finals: Tensor):
        plan, buffers = ctx.plan, ctx.buffers
        weights, injects = ctx.saved_tensors[0::2], ctx.saved_tensors[1::2]
        steps, batch, cells, C = grad_top.shape
        gates, L, kinds = gates_for(grad_top), len(buffers), int(plan.kind.max()) + 1
        dh = [g.contiguous().clone() for g in grad_finals[0::2]]
        dc = [g.contiguous().clone() for g in grad_finals[1::2]]
        d_drive = [grad_top.new_zeros(steps, batch, cells, 4 * C) for _ in buffers]
        d_weights = [torch.zeros_like(weight) for weight in weights]
        d_injects = [torch.zeros_like(inject) for inject in injects]
        no_pool = grad_top.new_zeros(batch, 2 * C)
        # Gradients of pre-activations wait here until there are enough for one large weight-gradient call.
        room = min(sum(plan.repeats), -(-SAMPLES_PER_WEIGHT_GRADIENT // batch))
        dz = [grad_top.new_empty(room, batch, cells, 4 * C) for _ in buffers]
        d_injected = [grad_top.new_zeros(room, batch, kinds, 4 * C) for _ in buffers]

        def flush(first: int, count: int) -> None:
            for i, buffer in enumerate(buffers):
                x, waiting = buffer.x[first : first + count].flatten(0, 1), dz[i][room - count :].flatten(0, 1)
                d_weights[i] += _conv_backward(waiting, x, weights[i], plan, [False, True, False])[1]
                if injects[i].numel():
                    into = d_injected[i][room - count :].view(count * batch, -1)
                    d_injects[i].addmm_(into.t(), buffer.pooled[first : first + count].flatten(0, 1))
                    into.zero_()

        n, slot = sum(plan.repeats), room
        for t in reversed(range(steps)):
            dh[-1] += grad_top[t]
            for _ in range(plan.repeats[t]):
                n, slot = n - 1, slot - 1
                for i in reversed(range(L)):
                    x, c_prev, _, argmax = buffers[i].at(n)
                    _, c, _, _ = buffers[i].at(n + 1)
                    gates.backward(dh[i], dc[i], buffers[i].acts[n], c, c_prev, plan.keep[n], plan.kind, dz[i][slot],
                                   d_drive[i][t], d_injected[i][slot])  # fmt: skip
                    dx = _as_cells(_conv_backward(dz[i][slot], x, weights[i], plan, [True, False, False])[0])
                    pool = d_injected[i][slot].view(batch, -1) @ injects[i] if injects[i].numel() else no_pool
                    gates.backward_input(dx, pool, argmax, plan.keep[n], dh[i], dh[i - 1])
                if slot == 0 or n == 0:
                    flush(n, room - slot)
                    slot = room
        per_layer = zip(d_drive, d_weights, d_injects, dh, dc, strict=True)
        return None, None, *(gradient for layer in per_layer for gradient in layer)


def run_ticks(plan: TickPlan, layers: list[LayerTensors]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Runs all ticks of all steps.

    Returns:
        h_top [T, B, P, C] of the top layer after each step's last tick, and the final h and c of each layer [B, P, C].
    """
    dtype = layers[0].weight.dtype
    flat = [tensor.to(dtype) for layer in layers for tensor in layer]
    save = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in flat)
    with torch.autocast(flat[0].device.type, enabled=False):  # the recurrence keeps the precision of its weights
        h_top, *finals = _Ticks.apply(plan, save, *flat)
    return h_top, finals[0::2], finals[1::2]

"""The tick loop of the DRC over a whole sequence, with its gradient by hand.

What does not change from tick to tick is computed once for each step: the drive, one convolution of the encoding for
all layers. What is left per layer and tick is one convolution of the recurrent input [below, own h], a small matrix
product for pool-and-inject, and the fused gates. The backward pass writes the gradients of the pre-activations over
the gate activations that they come from, and takes the weights' gradients over many ticks in one call.

On a CPU each thread takes a part of the batch through the whole sequence, in slices that fit its cache: a step is
too short for threads to meet after each operation.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from drc_lab.models.gates import gates_for
from drc_lab.models.workers import in_workers, slices

SAMPLES_PER_WEIGHT_GRADIENT = 64


class TickPlan(NamedTuple):
    """What the loop needs to know besides tensors that have gradients.

    repeats: ticks of each step, length T, N in all.
    keep: [N + 1, B], 0 where the carry is zeroed before that tick; the last row is all ones.
    kind: [P] the kind of each cell, for pool-and-inject.
    height, width: of the board, P = H * W.
    top_to_bottom: whether the first layer sees the top one's h of the tick before.
    sigmoid_output: whether the output gate is a sigmoid instead of a tanh.
    """

    repeats: tuple[int, ...]
    keep: Tensor
    kind: Tensor
    height: int
    width: int
    top_to_bottom: bool
    sigmoid_output: bool


class TickWeights(NamedTuple):
    """The weights in the form that the loop uses.

    drive: [L * 4C, C, k, k], convolution of the encoding, layer after layer.
    base: [P, L * 4C], added to the drive: biases, boundary.
    recurrent: L convolutions [4C, D, k, k] of the recurrent input, D = 2C, or C where nothing is below.
    inject: L matrices [K * 4C, 2C], from [mean, max] of own h to an addition for each kind of cell; or empty.
    """

    drive: Tensor
    base: Tensor
    recurrent: list[Tensor]
    inject: list[Tensor]


class _Layer:
    """What one layer writes at each tick, for one slice of the batch. Without gradients two slots take turns."""

    def __init__(self, h: Tensor, c: Tensor, keep: Tensor, features: int, ticks: int, save: bool):
        batch, cells, C = h.shape
        self.slots = ticks + 1 if save else min(ticks + 1, 2)
        self.x = h.new_empty(self.slots, batch, cells, features)
        self.c = h.new_empty(self.slots, batch, cells, C)
        self.pooled = h.new_empty(self.slots, batch, 2 * C)
        self.argmax = h.new_empty(self.slots, batch, C, dtype=torch.int32)
        self.acts = h.new_empty(ticks if save else 1, batch, cells, 4 * C)
        own = torch.mul(h, keep[:, None, None], out=self.x[0, ..., features - C :])
        self.c[0] = c
        self.pooled[0, :, :C] = own.mean(1)
        self.pooled[0, :, C:], self.argmax[0] = own.max(1)

    def arrays(self, view: Callable[[Tensor], Any]) -> tuple:
        return tuple(view(t) for t in (self.x, self.c, self.pooled, self.argmax, self.acts))


class _Slice:
    """One part of the batch on its way through the sequence, there and back."""

    def __init__(self, plan: TickPlan, weights: TickWeights, part: slice):
        self.plan, self.weights, self.part = plan, weights, part
        self.keep = plan.keep[:, part].contiguous()
        self.ticks = sum(plan.repeats)
        self.pad = weights.drive.shape[2] // 2
        self.layers: list[_Layer] | None = None

    def as_map(self, cells: Tensor) -> Tensor:
        """[N, P, F] -> [N, F, H, W] in channels-last order, without a copy."""
        return cells.unflatten(1, (self.plan.height, self.plan.width)).permute(0, 3, 1, 2)

    def conv(self, x: Tensor, weight: Tensor) -> Tensor:
        """[N, F, H, W] -> [N, P, G], without a copy when the output is channels-last."""
        return torch.conv2d(x, weight, None, padding=self.pad).permute(0, 2, 3, 1).flatten(1, 2).contiguous()

    def conv_backward(self, dz: Tensor, x: Tensor, weight: Tensor, of_input: bool) -> Tensor:
        """The gradient of the input [N, P, F], or of the weight."""
        gradients = torch.ops.aten.convolution_backward(
            self.as_map(dz), x, weight, None, [1, 1], [self.pad, self.pad], [1, 1], False, [0, 0], 1,
            [of_input, not of_input, False],
        )  # fmt: skip
        return gradients[0].permute(0, 2, 3, 1).flatten(1, 2).contiguous() if of_input else gradients[1]

    def forward(self, e: Tensor, h: list[Tensor], c: list[Tensor], h_top: Tensor, save: bool) -> list[Tensor]:
        """Fills its part of h_top [T, B, P, C]; e is [T, B, C, H, W], h and c the whole carry. Returns the new one.

        With ``save`` it keeps what `backward` needs.
        """
        plan, weights, part = self.plan, self.weights, self.part
        C, K = h_top.shape[3], int(plan.kind.max()) + 1
        features = [weight.shape[1] for weight in weights.recurrent]
        layers = [_Layer(h[i][part], c[i][part], self.keep[0], features[i], self.ticks, save) for i in range(len(h))]
        first, top = layers[0], layers[-1]
        gates = gates_for(h_top, plan.sigmoid_output)
        if plan.top_to_bottom:
            first.x[0, ..., :C] = top.x[0, ..., -C:]
        arrays = [layer.arrays(gates.view) for layer in layers]
        maps = [[self.as_map(x) for x in layer.x] for layer in layers]
        # Stays zero where pool-and-inject is off: the gates add it in any case.
        injected = [h_top.new_zeros(len(self.keep[0]), K * 4 * C) for _ in layers]
        inject = [gates.view(i.view(-1, K, 4 * C)) for i in injected]
        base, kind, keep, out = (gates.view(t) for t in (weights.base, plan.kind, self.keep, h_top))
        n = 0
        for t, repeats in enumerate(plan.repeats):
            drive = gates.view(self.conv(e[t, part], weights.drive))  # (B, P, L*4C)
            for _ in range(repeats):
                now, then = n % first.slots, (n + 1) % first.slots
                for i, layer in enumerate(layers):
                    z = self.conv(maps[i][now], weights.recurrent[i])  # (B, P, 4C)
                    if weights.inject[i].numel():
                        torch.mm(layer.pooled[now], weights.inject[i].t(), out=injected[i])
                    x, cell, pooled, argmax, acts = arrays[i]
                    up = (out, t, part.start) if layer is top else (arrays[i + 1][0], now, 0)
                    gates.forward(
                        gates.view(z), drive, base, i * 4 * C, inject[i], kind, keep, n, now, then,
                        x, cell, pooled, argmax, acts, n if save else 0, *up,
                    )  # fmt: skip
                if plan.top_to_bottom:
                    first.x[then, ..., :C] = top.x[then, ..., -C:]
                n += 1
        self.layers = layers if save else None
        last = self.ticks % first.slots
        return [t for layer in layers for t in (layer.x[last, ..., -C:], layer.c[last])]

    def backward(
        self, e: Tensor, h: list[Tensor], c: list[Tensor], grad_top: Tensor, grad_carry: list[Tensor], d_e: Tensor
    ) -> list[Tensor]:
        """Fills its part of d_e [T, B, P, C]; e, h, c are those of `forward`, which is done anew if nothing was saved.

        Returns the gradients of the weights (drive, base, recurrent, inject) and of the carry (h and c, layer after
        layer).
        """
        if self.layers is None:
            self.forward(e, h, c, torch.empty_like(grad_top), save=True)
        plan, weights, part, layers = self.plan, self.weights, self.part, self.layers
        assert layers is not None
        self.layers = None  # gradients take the place of the activations: there is no second time
        steps, L, C = len(plan.repeats), len(layers), grad_top.shape[3]
        batch, cells, K = part.stop - part.start, len(plan.kind), int(plan.kind.max()) + 1
        gates = gates_for(grad_top, plan.sigmoid_output)
        arrays = [layer.arrays(gates.view) for layer in layers]
        kind, keep = gates.view(plan.kind), gates.view(self.keep)
        always = gates.view(torch.ones_like(self.keep[0]))
        carry = [g[part].contiguous().clone() for g in grad_carry]
        dh, dc = carry[0::2], carry[1::2]
        dh_arrays, dc_arrays = [gates.view(g) for g in dh], [gates.view(g) for g in dc]
        window = min(steps, -(-SAMPLES_PER_WEIGHT_GRADIENT // batch))  # steps of one weight-gradient call
        most = max(sum(plan.repeats[t : t + window]) for t in range(steps))
        d_drive = grad_top.new_empty(window, batch, cells, L * 4 * C)
        d_injected = [grad_top.new_zeros(most, batch, K * 4 * C) for _ in layers]
        d_inject_arrays = [gates.view(d.view(most, batch, K, 4 * C)) for d in d_injected]
        no_pool = gates.view(grad_top.new_zeros(batch, 2 * C))
        sums = [torch.zeros_like(w) for w in (weights.drive, weights.base, *weights.recurrent, *weights.inject)]
        d_weights, d_injects = sums[2 : 2 + L], sums[2 + L :]

        n = self.ticks
        for end in range(steps, 0, -window):
            start = max(0, end - window)
            first, last = n - sum(plan.repeats[start:end]), n
            d_drive.zero_()
            for t in reversed(range(start, end)):
                dh[-1] += grad_top[t, part]
                d_drive_t = gates.view(d_drive[t - start])
                for _ in range(plan.repeats[t]):
                    n -= 1
                    for i in reversed(range(L)):
                        _, cell, _, argmax, acts = arrays[i]
                        gates.backward(
                            dh_arrays[i], dc_arrays[i], acts, cell, keep, n, kind, d_drive_t, i * 4 * C,
                            d_inject_arrays[i], n - first,
                        )  # fmt: skip
                        dz, x_map = layers[i].acts[n], self.as_map(layers[i].x[n])
                        dx = gates.view(self.conv_backward(dz, x_map, weights.recurrent[i], of_input=True))
                        pool = no_pool
                        if weights.inject[i].numel():
                            pool = gates.view(d_injected[i][n - first] @ weights.inject[i])  # (B, K*4C) x (K*4C, 2C)
                        keep_below = (keep[n], dh_arrays[L - 1]) if i == 0 else (always, dh_arrays[i - 1])
                        gates.backward_input(dx, pool, argmax, n, keep[n], dh_arrays[i], *keep_below)
            for i, layer in enumerate(layers):
                dz = layer.acts[first:last].flatten(0, 1)
                x_maps = self.as_map(layer.x[first:last].flatten(0, 1))
                d_weights[i] += self.conv_backward(dz, x_maps, weights.recurrent[i], of_input=False)
                if weights.inject[i].numel():
                    into = d_injected[i][: last - first].flatten(0, 1)
                    d_injects[i].addmm_(into.t(), layer.pooled[first:last].flatten(0, 1))
                    d_injected[i].zero_()
            dz, e_maps = d_drive[: end - start].flatten(0, 1), e[start:end, part].flatten(0, 1)
            sums[0] += self.conv_backward(dz, e_maps, weights.drive, of_input=False)
            sums[1] += dz.sum(0)
            d_e[start:end, part] = self.conv_backward(dz, e_maps, weights.drive, of_input=True).unflatten(
                0, (end - start, batch)
            )
        return sums + carry


class _Ticks(torch.autograd.Function):
    @staticmethod
    def forward(ctx, plan: TickPlan, grad: bool, save: bool, e: Tensor, drive: Tensor, base: Tensor, *flat: Tensor):
        L = len(flat) // 4
        weights = TickWeights(drive, base, list(flat[:L]), list(flat[L : 2 * L]))
        h, c = list(flat[2 * L : 3 * L]), list(flat[3 * L :])
        steps, batch, C, cells = len(plan.repeats), len(h[0]), h[0].shape[2], h[0].shape[1]
        h_top = e.new_empty(steps, batch, cells, C)
        parts = [_Slice(plan, weights, part) for part in slices(e, batch, cells * C, work=cells * drive.numel())]
        carries = in_workers([partial(p.forward, e, h, c, h_top, save) for p in parts])
        carry = [torch.cat(tensors) for tensors in zip(*carries, strict=True)]
        if grad:
            ctx.parts, ctx.layers = parts, L
            ctx.save_for_backward(e, *h, *c)
        return h_top, *carry

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_top: Tensor, *grad_carry: Tensor):
        (e, *carry), parts, L = ctx.saved_tensors, ctx.parts, ctx.layers
        d_e = torch.empty_like(grad_top)
        inputs = e, carry[:L], carry[L:], grad_top, list(grad_carry), d_e
        results = in_workers([partial(p.backward, *inputs) for p in parts])
        weights = 2 + 2 * L
        sums = [sum(tensors[1:], tensors[0]) for tensors in zip(*(r[:weights] for r in results), strict=True)]
        carry = [torch.cat(tensors) for tensors in zip(*(r[weights:] for r in results), strict=True)]
        plan = parts[0].plan
        d_e = d_e.unflatten(2, (plan.height, plan.width)).movedim(-1, 2)  # (T, B, C, H, W)
        return None, None, None, d_e, *sums, *carry[0::2], *carry[1::2]


def run_ticks(
    plan: TickPlan, e: Tensor, weights: TickWeights, h: list[Tensor], c: list[Tensor], recompute: bool = False
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Runs all ticks of all steps.

    Args:
        plan: the ticks.
        e: encoded observations [T, B, C, H, W], each of them channels-last.
        weights: of all layers.
        h, c: the carry before the first tick, for each layer [B, P, C].
        recompute: whether the backward pass runs the ticks anew, instead of keeping what they computed.

    Returns:
        h_top [T, B, P, C] of the top layer after each step's last tick, and the final h and c of each layer [B, P, C].
    """
    tensors = [e, weights.drive, weights.base, *weights.recurrent, *weights.inject, *h, *c]
    grad = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    h_top, *carry = _Ticks.apply(plan, grad, grad and not recompute, *tensors)
    return h_top, carry[0::2], carry[1::2]

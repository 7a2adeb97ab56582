"""The tick loop of the DRC over a whole sequence, with its gradient by hand.

What does not change from tick to tick is computed once for each step: the drive, one convolution of the encoding for
all layers. What is left per layer and tick is one convolution of the recurrent input [below, own h], a small matrix
product for pool-and-inject, and the fused gates, which take the place of the convolution's output. The backward pass
writes the gradients of the pre-activations over them in turn, and takes the weights' gradients in calls that are large
enough: over several ticks where a tick's batch is small.

On a CPU each thread takes a part of the batch through the whole sequence, in slices that fit its cache: a step is
too short for threads to meet after each operation.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from drc_lab.models.gates import gates_for
from drc_lab.models.workers import in_workers, slices

FEATURES_OF_A_WEIGHT_GRADIENT = 25_600  # P * C of each sample, summed over the samples of one call


class TickPlan(NamedTuple):
    """What the loop needs to know besides tensors that have gradients.

    repeats: ticks of each step, length T, N in all.
    keep: [N + 1, B], 0 where the carry is zeroed before that tick; the last row is all ones.
    kind: [P] the kind of each cell, for pool-and-inject; kinds: how many there are, K.
    height, width: of the board, P = H * W.
    top_to_bottom: whether the first layer sees the top one's h of the tick before.
    sigmoid_output: whether the output gate is a sigmoid instead of a tanh.
    """

    repeats: tuple[int, ...]
    keep: Tensor
    kind: Tensor
    kinds: int
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
    """What one layer writes at each tick, for one slice of the batch; without ``save`` two slots take turns.

    x, c, pooled, argmax are lists with an entry for each tick and one more, z has one for each tick.
    """

    def __init__(self, h: Tensor, c: Tensor, keep: Tensor, features: int, ticks: int, save: bool):
        batch, cells, C = h.shape

        def slots(*shape: int, dtype: torch.dtype = h.dtype) -> list[Tensor]:
            made = [h.new_empty(shape, dtype=dtype) for _ in range(ticks + 1 if save else 2)]
            return made if save else [made[n % 2] for n in range(ticks + 1)]

        self.x, self.c = slots(batch, cells, features), slots(batch, cells, C)
        self.pooled, self.argmax = slots(batch, 2 * C), slots(batch, C, dtype=torch.int32)
        self.z: list[Tensor] = []
        self.c[0].copy_(c)
        own = torch.mul(h, keep[:, None, None], out=self.x[0][..., features - C :])
        self.pooled[0][:, :C] = own.mean(1)
        self.pooled[0][:, C:], self.argmax[0][:] = own.max(1)


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

    def forward(
        self, e: Tensor, h: list[Tensor], c: list[Tensor], h_top: Tensor, carry: list[Tensor], save: bool
    ) -> None:
        """Fills its part of h_top [T, B, P, C] and of the new carry (h and c [B, P, C], layer after layer).

        e is [T, B, C, H, W], h and c the whole carry before. With ``save`` it keeps what `backward` needs.
        """
        plan, weights, part = self.plan, self.weights, self.part
        C, K = h_top.shape[3], plan.kinds
        features = [weight.shape[1] for weight in weights.recurrent]
        layers = [_Layer(h[i][part], c[i][part], self.keep[0], features[i], self.ticks, save) for i in range(len(h))]
        first, top = layers[0], layers[-1]
        gates = gates_for(h_top, plan.sigmoid_output)
        view = gates.view
        if plan.top_to_bottom:
            first.x[0][..., :C] = top.x[0][..., -C:]
        # Stays zero where pool-and-inject is off: the gates add it in any case.
        injected = [h_top.new_zeros(len(self.keep[0]), K * 4 * C) for _ in layers]
        inject = [view(i.view(-1, K, 4 * C)) for i in injected]
        base, kind, keep = view(weights.base), view(plan.kind), view(self.keep)
        n = 0
        for t, repeats in enumerate(plan.repeats):
            drive, out = view(self.conv(e[t, part], weights.drive)), view(h_top[t])  # (B, P, L*4C), (B, P, C)
            for _ in range(repeats):
                for i, layer in enumerate(layers):
                    z = self.conv(self.as_map(layer.x[n]), weights.recurrent[i])  # (B, P, 4C)
                    if weights.inject[i].numel():
                        torch.mm(layer.pooled[n], weights.inject[i].t(), out=injected[i])
                    up = (out, part.start) if layer is top else (view(layers[i + 1].x[n]), 0)
                    gates.forward(
                        view(z), drive, base, i * 4 * C, inject[i], kind, keep[n], view(layer.c[n]), keep[n + 1],
                        view(layer.c[n + 1]), view(layer.x[n + 1]), view(layer.pooled[n + 1]),
                        view(layer.argmax[n + 1]), *up,
                    )  # fmt: skip
                    if save:
                        layer.z.append(z)
                n += 1
                if plan.top_to_bottom:
                    first.x[n][..., :C] = top.x[n][..., -C:]
        self.layers = layers if save else None
        for i, layer in enumerate(layers):
            carry[2 * i][part], carry[2 * i + 1][part] = layer.x[n][..., -C:], layer.c[n]

    def backward(
        self, e: Tensor, h: list[Tensor], c: list[Tensor], grad_top: Tensor, carry: list[Tensor], d_e: Tensor
    ) -> list[Tensor]:
        """Fills its part of d_e [T, B, P, C], and turns that of the carry's gradient from the new carry to the old.

        e, h, c are those of `forward`, which is done anew if nothing was saved. Returns the gradients of the weights:
        drive, base, recurrent, inject.
        """
        if self.layers is None:
            self.forward(e, h, c, torch.empty_like(grad_top), [torch.empty_like(g) for g in carry], save=True)
        plan, weights, part, layers = self.plan, self.weights, self.part, self.layers
        assert layers is not None
        self.layers = None  # gradients take the place of the activations: there is no second time
        L, C, batch = len(layers), grad_top.shape[3], part.stop - part.start
        cells, K = len(plan.kind), plan.kinds
        gates = gates_for(grad_top, plan.sigmoid_output)
        view = gates.view
        kind, keep, always = view(plan.kind), view(self.keep), view(torch.ones_like(self.keep[0]))
        dh, dc = [view(g[part]) for g in carry[0::2]], [view(g[part]) for g in carry[1::2]]
        dh_top = carry[2 * L - 2][part]
        no_pool = view(grad_top.new_zeros(batch, 2 * C))
        sums = [torch.zeros_like(w) for w in (weights.drive, weights.base, *weights.recurrent, *weights.inject)]
        wait = -(-FEATURES_OF_A_WEIGHT_GRADIENT // (batch * cells * C))  # ticks, or steps, of one weight-gradient call
        drives = _Waiting(wait)
        ticks = [_Waiting(wait) for _ in layers]

        n = self.ticks
        for t in reversed(range(len(plan.repeats))):
            dh_top += grad_top[t, part]
            d_drive = grad_top.new_zeros(batch, cells, L * 4 * C)
            d_drive_array = view(d_drive)
            for _ in range(plan.repeats[t]):
                n -= 1
                for i in reversed(range(L)):
                    layer, dz = layers[i], layers[i].z[n]
                    d_injected = grad_top.new_zeros(batch, K * 4 * C)
                    gates.backward(
                        view(dz), dh[i], dc[i], view(layer.c[n]), view(layer.c[n + 1]), keep[n], kind, d_drive_array,
                        i * 4 * C, view(d_injected.view(batch, K, 4 * C)),
                    )  # fmt: skip
                    x = self.as_map(layer.x[n])
                    dx = view(self.conv_backward(dz, x, weights.recurrent[i], of_input=True))
                    pool = no_pool
                    if weights.inject[i].numel():
                        pool = view(d_injected @ weights.inject[i])  # (B, K*4C) x (K*4C, 2C)
                        sums[2 + L + i].addmm_(d_injected.t(), layer.pooled[n])
                    below = (always, dh[i - 1]) if i else (keep[n], dh[L - 1])
                    gates.backward_input(dx, pool, view(layer.argmax[n]), keep[n], dh[i], *below)
                    for many_dz, many_x in ticks[i].add(dz, x, last=n == 0):
                        sums[2 + i] += self.conv_backward(many_dz, many_x, weights.recurrent[i], of_input=False)
                    layer.z.pop()
            d_e[t, part] = self.conv_backward(d_drive, e[t, part], weights.drive, of_input=True)
            for many_dz, many_e in drives.add(d_drive, e[t, part], last=t == 0):
                sums[0] += self.conv_backward(many_dz, many_e, weights.drive, of_input=False)
                sums[1] += many_dz.sum(0)
        return sums


class _Waiting:
    """Gradients [B, P, F] and inputs [B, G, H, W] until there are enough of them for one weight-gradient call."""

    def __init__(self, size: int):
        self.size = size
        self.pairs: list[tuple[Tensor, Tensor]] = []

    def add(self, gradient: Tensor, x: Tensor, last: bool) -> list[tuple[Tensor, Tensor]]:
        """Nothing yet, or all that waited as one pair."""
        self.pairs.append((gradient, x))
        if len(self.pairs) < self.size and not last:
            return []
        pairs, self.pairs = self.pairs, []
        return pairs if len(pairs) == 1 else [(torch.cat([g for g, _ in pairs]), torch.cat([x for _, x in pairs]))]


class _Ticks(torch.autograd.Function):
    @staticmethod
    def forward(ctx, plan: TickPlan, grad: bool, save: bool, e: Tensor, drive: Tensor, base: Tensor, *flat: Tensor):
        L = len(flat) // 4
        weights = TickWeights(drive, base, list(flat[:L]), list(flat[L : 2 * L]))
        h, c = list(flat[2 * L : 3 * L]), list(flat[3 * L :])
        steps, batch, C, cells = len(plan.repeats), len(h[0]), h[0].shape[2], h[0].shape[1]
        h_top = e.new_empty(steps, batch, cells, C)
        carry = [torch.empty_like(tensor) for pair in zip(h, c, strict=True) for tensor in pair]
        cut = slices(e, batch, cells * C, work=cells * drive.numel(), kept=grad)
        parts = [_Slice(plan, weights, part) for part in cut]
        gates_for(h_top, plan.sigmoid_output)  # compiled here, not once in every thread
        in_workers([partial(p.forward, e, h, c, h_top, carry, save) for p in parts])
        if grad:
            ctx.parts, ctx.layers = parts, L
            ctx.save_for_backward(e, *h, *c)
        return h_top, *carry

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_top: Tensor, *grad_carry: Tensor):
        (e, *before), parts, L = ctx.saved_tensors, ctx.parts, ctx.layers
        d_e = torch.empty_like(grad_top)
        carry = [g.clone(memory_format=torch.contiguous_format) for g in grad_carry]  # autograd's own stay as they are
        inputs = e, before[:L], before[L:], grad_top, carry, d_e
        with torch.autocast(grad_top.device.type, enabled=False):  # as in the forward pass
            results = in_workers([partial(p.backward, *inputs) for p in parts])
        sums = [sum(tensors[1:], tensors[0]) for tensors in zip(*results, strict=True)]
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

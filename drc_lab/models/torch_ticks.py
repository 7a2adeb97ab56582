"""The DRC's tick loop in torch operations, for GPUs and for precisions other than float32.

On GPUs the gates run in custom Triton kernels. Per layer and tick there is one convolution of the recurrent input, a
small matrix product for pool-and-inject, and the gates, which overwrite the convolution's output. The backward pass
overwrites the gates with the gradients of the pre-activations. It computes weight gradients in sufficiently large
calls: over several ticks together where the batch of one tick is small.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from drc_lab.models import gates
from drc_lab.models.tick_plan import TickPlan, TickWeights

FEATURES_OF_A_WEIGHT_GRADIENT = {"cpu": 25_600, "cuda": 2**23}  # least P * C * (samples of one call)


class _Layer:
    """The buffers that one layer writes at each tick.

    x (recurrent input), c, pooled and argmax are lists with one entry before the first tick and one after each tick;
    z has one entry for each tick. Without ``save``, two buffers are used alternately, and z stays empty.
    """

    def __init__(self, h: Tensor, c: Tensor, keep: Tensor, features: int, ticks: int, save: bool):
        batch, cells, C = h.shape

        def slots(*shape: int, dtype: torch.dtype = h.dtype) -> list[Tensor]:
            buffers = [h.new_empty(shape, dtype=dtype) for _ in range(ticks + 1 if save else 2)]
            return buffers if save else [buffers[n % 2] for n in range(ticks + 1)]

        self.x, self.c = slots(batch, cells, features), slots(batch, cells, C)
        self.pooled, self.argmax = slots(batch, 2 * C), slots(batch, C, dtype=torch.int32)
        self.z: list[Tensor] = []
        self.c[0].copy_(c)
        own_h = torch.mul(h, keep[:, None, None], out=self.x[0][..., features - C :])
        self.pooled[0][:, :C] = own_h.mean(1)
        self.pooled[0][:, C:], self.argmax[0][:] = own_h.max(1)


class TorchTicks:
    """Forward and backward pass of all ticks of a batch.

    Args:
        plan: the plan of the ticks.
        weights: the weights of all layers.
    """

    def __init__(self, plan: TickPlan, weights: TickWeights):
        self.plan, self.weights = plan, weights
        self.ticks = sum(plan.repeats)
        self.pad = weights.drive.shape[2] // 2
        self.from_top = weights.below[0] >= 0
        self.gates = gates_for(weights.drive)
        self.drive, *self.recurrent = (self.cast(w) for w in (weights.drive, *weights.recurrent))
        self.layers: list[_Layer] | None = None

    def as_map(self, cells: Float[Tensor, "N P F"]) -> Float[Tensor, "N F {self.plan.height} {self.plan.width}"]:
        """The same features as a map in channels-last order, without a copy."""
        return cells.unflatten(1, (self.plan.height, self.plan.width)).permute(0, 3, 1, 2)

    def cast(self, x: Float[Tensor, "*x"]) -> Float[Tensor, "*x"]:
        """Converts x to the precision of the convolutions."""
        return x.bfloat16() if self.plan.bfloat16 else x

    def conv(self, x: Float[Tensor, "N F H W"], weight: Float[Tensor, "G F k k"]) -> Float[Tensor, "N H*W G"]:
        """Convolves, without a copy when the output is channels-last. ``weight`` has to be `cast`."""
        out = torch.conv2d(self.cast(x), weight, None, padding=self.pad)
        return out.permute(0, 2, 3, 1).flatten(1, 2).to(x.dtype).contiguous()

    def input_gradient(
        self, dz: Float[Tensor, "N P G"], x: Float[Tensor, "N F H W"], weight: Float[Tensor, "G F k k"]
    ) -> Float[Tensor, "N P F"]:
        """The gradient of the input x of `conv`, from that of its output; ``weight`` as in `conv`."""
        shape = x.new_empty(1, dtype=weight.dtype).expand(x.shape)  # only the shape and dtype of the input matter
        d_x = self._gradients(self.cast(dz), shape, weight, [True, False, False])[0]
        return d_x.permute(0, 2, 3, 1).flatten(1, 2).to(x.dtype).contiguous()

    def weight_gradient(
        self, dz: Float[Tensor, "N P G"], x: Float[Tensor, "N F H W"], weight: Float[Tensor, "G F k k"]
    ) -> Float[Tensor, "G F k k"]:
        """The gradient of the weight of `conv`, in the weight's own precision; ``weight`` is not cast."""
        return self._gradients(dz, x, weight, [False, True, False])[1]

    def _gradients(self, dz: Tensor, x: Tensor, weight: Tensor, wanted: list[bool]) -> Sequence[Any]:
        """The gradients of input, weight and bias, and None in place of those that are not wanted."""
        pad = [self.pad, self.pad]
        return torch.ops.aten.convolution_backward(
            self.as_map(dz), x, weight, None, [1, 1], pad, [1, 1], False, [0, 0], 1, wanted
        )

    def forward(
        self,
        e: Float[Tensor, "T B C H W"],
        h: list[Float[Tensor, "B P C"]],
        c: list[Float[Tensor, "B P C"]],
        save: bool,
    ) -> tuple[Float[Tensor, "T B P C"], list[Float[Tensor, "B P C"]], list[Float[Tensor, "B P C"]]]:
        """Returns h_top and the h and c after all ticks, see `drc_lab.models.ticks.run_ticks`.

        With ``save``, stores what `backward` needs.
        """
        plan, weights, keep = self.plan, self.weights, self.plan.keep
        batch, cells, C = h[0].shape
        features = [weight.shape[1] for weight in weights.recurrent]
        layers = [_Layer(h[i], c[i], keep[0], features[i], self.ticks, save) for i in range(len(h))]
        first, top = layers[0], layers[-1]
        if self.from_top:
            first.x[0][..., :C] = top.x[0][..., -C:]
        h_top = e.new_empty(len(plan.repeats), batch, cells, C)
        # All zeros without pool-and-inject, because the gates add it in any case.
        injected = [h_top.new_zeros(batch, plan.kinds * 4 * C) for _ in layers]
        n = 0
        for t, repeats in enumerate(plan.repeats):
            drive = self.conv(e[t], self.drive) + weights.base  # (B, P, L*4C)
            for _ in range(repeats):
                for i, layer in enumerate(layers):
                    z = self.conv(self.as_map(layer.x[n]), self.recurrent[i])  # (B, P, 4C)
                    if weights.inject[i].numel():
                        torch.mm(layer.pooled[n], weights.inject[i].t(), out=injected[i])
                    up = h_top[t] if layer is top else layers[i + 1].x[n][..., :C]
                    self.gates.gates_forward(
                        z,
                        drive[..., i * 4 * C : (i + 1) * 4 * C],
                        injected[i].view(batch, -1, 4 * C),
                        plan.kind,
                        keep[n],
                        layer.c[n],
                        keep[n + 1],
                        layer.c[n + 1],
                        layer.x[n + 1][..., -C:],
                        layer.pooled[n + 1],
                        layer.argmax[n + 1],
                        up,
                        plan.sigmoid_output,
                    )
                    if save:
                        layer.z.append(z)
                n += 1
                if self.from_top:
                    first.x[n][..., :C] = top.x[n][..., -C:]
        self.layers = layers if save else None
        return h_top, [layer.x[n][..., -C:].clone() for layer in layers], [layer.c[n] for layer in layers]

    def backward(
        self,
        e: Float[Tensor, "T B C H W"],
        h: list[Float[Tensor, "B P C"]],
        c: list[Float[Tensor, "B P C"]],
        grad_top: Float[Tensor, "T B P C"],
        dh: Sequence[Float[Tensor, "B P C"]],
        dc: Sequence[Float[Tensor, "B P C"]],
    ) -> tuple[Float[Tensor, "T B P C"], list[Tensor], list[Float[Tensor, "B P C"]], list[Float[Tensor, "B P C"]]]:
        """Backward pass of `forward`, which runs again first if it did not store its activations.

        Args:
            e, h, c: the arguments of `forward`.
            grad_top, dh, dc: gradients of what `forward` returned.

        Returns:
            Gradients of e, of the weights (drive, base, recurrent, inject), of h, and of c.
        """
        if self.layers is None:
            self.forward(e, h, c, save=True)
        plan, weights, keep, layers = self.plan, self.weights, self.plan.keep, self.layers
        assert layers is not None
        self.layers = None  # gradients overwrite the activations, so they can't be used a second time
        (batch, cells, C), L, K = h[0].shape, len(layers), plan.kinds
        dh, dc = ([x.clone(memory_format=torch.contiguous_format) for x in given] for given in (dh, dc))
        always, no_pool = torch.ones_like(keep[0]), grad_top.new_zeros(batch, 2 * C)
        d_e = torch.empty_like(grad_top)
        sums = [torch.zeros_like(w) for w in (weights.drive, weights.base, *weights.recurrent, *weights.inject)]
        features = FEATURES_OF_A_WEIGHT_GRADIENT["cpu" if e.device.type == "cpu" else "cuda"]
        wait = -(-features // (batch * cells * C))  # ticks (of the drive: steps) per weight-gradient call
        drives, *ticks = (_Waiting(wait) for _ in range(1 + L))
        injections = [_Waiting(self.ticks) for _ in layers]
        n = self.ticks
        for t in reversed(range(len(plan.repeats))):
            dh[-1] += grad_top[t]
            d_drive = grad_top.new_zeros(batch, cells, L * 4 * C)
            for _ in range(plan.repeats[t]):
                n -= 1
                for i in reversed(range(L)):
                    layer, dz = layers[i], layers[i].z[n]
                    injects = weights.inject[i].numel() > 0
                    d_injected = grad_top.new_empty(batch, K, 4 * C) if injects else None
                    self.gates.gates_backward(
                        dz,
                        dh[i],
                        dc[i],
                        layer.c[n],
                        layer.c[n + 1],
                        keep[n],
                        plan.kind,
                        d_drive[..., i * 4 * C : (i + 1) * 4 * C],
                        d_injected,
                        plan.sigmoid_output,
                    )
                    x = self.as_map(layer.x[n])
                    dx, pool = self.input_gradient(dz, x, self.recurrent[i]), no_pool
                    if d_injected is not None:
                        pool = d_injected.flatten(1) @ weights.inject[i]  # (B, K*4C) x (K*4C, 2C)
                        for many_d, many_pooled in injections[i].add(d_injected.flatten(1), layer.pooled[n], n == 0):
                            sums[2 + L + i].addmm_(many_d.t(), many_pooled)
                    below = (always, dh[i - 1]) if i else (keep[n], dh[L - 1])
                    self.gates.input_backward(dx, pool, layer.argmax[n], keep[n], dh[i], *below)
                    for many_dz, many_x in ticks[i].add(dz, x, last=n == 0):
                        sums[2 + i] += self.weight_gradient(many_dz, many_x, weights.recurrent[i])
                    layer.z.pop()
            d_e[t] = self.input_gradient(d_drive, e[t], self.drive)
            for many_dz, many_e in drives.add(d_drive, e[t], last=t == 0):
                sums[0] += self.weight_gradient(many_dz, many_e, weights.drive)
                sums[1] += many_dz.sum(0)
        return d_e, sums, dh, dc


def gates_for(weight: Tensor) -> ModuleType:
    """The module that computes the gates: `triton_gates` for float32 on a GPU with Triton installed, else `gates`."""
    if weight.device.type == "cuda" and weight.dtype == torch.float32 and find_spec("triton"):
        from drc_lab.models import triton_gates  # Triton comes only with torch's GPU builds

        return triton_gates
    return gates


class _Waiting:
    """Collects pairs of gradient and input, both with a leading sample axis, for one joint weight-gradient call.

    Args:
        size: number of pairs per call.
    """

    def __init__(self, size: int):
        self.size = size
        self.pairs: list[tuple[Tensor, Tensor]] = []

    def add(self, gradient: Tensor, x: Tensor, last: bool) -> list[tuple[Tensor, Tensor]]:
        """Adds a pair. Returns all pairs joined into one if there are ``size`` or this is the ``last``, else []."""
        self.pairs.append((gradient, x))
        if len(self.pairs) < self.size and not last:
            return []
        pairs, self.pairs = self.pairs, []
        return pairs if len(pairs) == 1 else [(torch.cat([g for g, _ in pairs]), torch.cat([x for _, x in pairs]))]

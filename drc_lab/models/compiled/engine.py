"""The interface of `drc_lab.models.ticks` to the compiled tick loop.

It passes the weights in the loop's layout, and splits the batch over threads.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from drc_lab.models.compiled.backward import Gradients, backward
from drc_lab.models.compiled.forward import Maps, forward
from drc_lab.models.compiled.kernels import Kernels, kernels_for
from drc_lab.models.compiled.sizes import Schedule, Sizes
from drc_lab.models.tick_plan import TickPlan, TickWeights
from drc_lab.models.workers import in_workers, parts_of


class Kept(NamedTuple):
    """Activations stored for the backward pass; `drc_lab.models.compiled.forward.Maps` has their shapes."""

    gates: Tensor
    cells: Tensor
    hidden: Tensor
    pooled: Tensor
    argmax: Tensor


class CompiledTicks:
    """Forward and backward pass of all ticks of a batch.

    Args:
        plan: the plan of the ticks.
        weights: the weights of all layers.
    """

    def __init__(self, plan: TickPlan, weights: TickWeights):
        self.plan, self.weights = plan, weights
        self.kept: Kept | None = None

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
        given = _cells(e), torch.stack(h), torch.stack(c)
        arguments, h_top, carry = self.prepared(*given, save)
        in_workers([partial(forward, part.start, part.stop, *arguments) for part in self.parts()])
        return h_top, *carry

    def prepared(
        self, e: Float[Tensor, "T B P C"], h: Float[Tensor, "L B P C"], c: Float[Tensor, "L B P C"], save: bool
    ) -> tuple[
        tuple[Any, ...], Float[Tensor, "T B P C"], tuple[list[Float[Tensor, "B P C"]], list[Float[Tensor, "B P C"]]]
    ]:
        """Allocates outputs and buffers for `drc_lab.models.compiled.forward.forward`, without running it.

        Args:
            e, h, c: as in `forward`, in the layout of the loop. The loop gets their addresses: keep them until it ends.
            save: as in `forward`.

        Returns:
            The arguments of the loop after ``first`` and ``last``; and the tensors that it will fill: h_top, (h, c).
        """
        (L, B, P, C), N = h.shape, sum(self.plan.repeats)
        shapes = (N, P, 4 * C), (N + 1, P, C), (N + 1, P, C), (N, 2 * C), (N, C)
        gates, cells, hidden, pooled, argmax = (h.new_empty((B, L, *shape) if save else 0) for shape in shapes)
        kept = Kept(gates, cells, hidden, pooled, argmax.view(torch.int32))
        self.kept = kept if save else None
        h_top, h_end, c_end = h.new_empty(len(self.plan.repeats), B, P, C), torch.empty_like(h), torch.empty_like(c)
        weights = self.weights.forward_pairs if self.plan.bfloat16 else self.weights.forward_layout
        maps = Maps(*_addresses(e, h, c, *weights, h_top, h_end, c_end, *kept))
        return self._arguments(save, maps), h_top, (list(h_end), list(c_end))

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
        if self.kept is None:
            self.forward(e, h, c, save=True)
        kept, self.kept = self.kept, None
        assert kept is not None
        weights, parts = self.weights, self.parts()
        layout = weights.backward_pairs if self.plan.bfloat16 else weights.backward_layout
        e_cells, grad_top, d_h, d_c = _cells(e), grad_top.contiguous(), torch.stack(list(dh)), torch.stack(list(dc))
        (L, B, *_), N, d_e = d_h.shape, sum(self.plan.repeats), torch.empty_like(grad_top)
        injects = weights.inject[0].numel() > 0
        d_injected = grad_top.new_empty(B, L, N, len(weights.inject[0]) if injects else 0)
        sums = [[torch.zeros_like(weight) for weight in weights.forward_layout[:3]] for _ in parts]  # one per thread
        read = e_cells, *layout, kept.gates, kept.cells, kept.hidden, kept.argmax, grad_top
        maps = [Gradients(*_addresses(*read, d_h, d_c, d_e, *own, d_injected)) for own in sums]
        in_workers(
            [
                partial(backward, part.start, part.stop, *self._arguments(True, each))
                for part, each in zip(parts, maps, strict=True)
            ]
        )
        drive, base, recurrent = (sum(each[1:], each[0]) for each in zip(*sums, strict=True))
        inject = [torch.empty_like(weight) for weight in weights.inject]
        for i, gradient in enumerate(inject if injects else ()):  # (B*N, K*4C)' x (B*N, 2C)
            torch.mm(d_injected[:, i].flatten(0, 1).t(), kept.pooled[:, i].flatten(0, 1), out=gradient)
        return d_e, weights.as_given(drive, base, recurrent, inject), list(d_h), list(d_c)

    def parts(self) -> list[slice]:
        """The range of samples that each thread processes."""
        plan = self.plan
        work = plan.height * plan.width * sum(plan.repeats) * sum(weight.numel() for weight in self.weights.recurrent)
        return parts_of(plan.keep.shape[1], work)

    def _arguments(self, save: bool, maps: Maps | Gradients) -> tuple[Kernels, Sizes, Schedule, Maps | Gradients]:
        plan, weights = self.plan, self.weights
        H, W, k, C, B = plan.height, plan.width, weights.drive.shape[2], weights.channels, plan.keep.shape[1]
        kernels = kernels_for(C, H, W, k, plan.sigmoid_output, save, plan.bfloat16)
        injects = weights.inject[0].numel() > 0
        sizes = Sizes(H, H * W, k * k, C, len(weights.recurrent), B, sum(plan.repeats), plan.kinds, injects, save)
        repeats, below = (np.array(numbers) for numbers in (plan.repeats, weights.below))
        return kernels, sizes, Schedule(plan.kind.numpy(), repeats, plan.keep.numpy(), below), maps


def _addresses(*tensors: Tensor) -> list[int]:
    assert all(tensor.is_contiguous() for tensor in tensors)  # the loop computes all other addresses from the sizes
    return [tensor.data_ptr() for tensor in tensors]


def _cells(maps: Tensor) -> Tensor:
    return maps.permute(0, 1, 3, 4, 2).flatten(2, 3).contiguous()  # (T, B, C, H, W) -> (T, B, P, C)

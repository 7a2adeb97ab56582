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

from drc_lab.models.compiled.kernels import kernels_for
from drc_lab.models.compiled.loop import backward, forward
from drc_lab.models.tick_plan import TickPlan, TickWeights
from drc_lab.models.workers import in_workers, parts_of


class Kept(NamedTuple):
    """Activations stored for the backward pass; `drc_lab.models.compiled.loop.forward` lists their shapes."""

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
        arguments, h_top, carry = self.prepared(_cells(e), h, c, save)
        in_workers([partial(forward, part.start, part.stop, *arguments) for part in self.parts()])
        return h_top, *carry

    def prepared(
        self,
        e: Float[Tensor, "T B P C"],
        h: list[Float[Tensor, "B P C"]],
        c: list[Float[Tensor, "B P C"]],
        save: bool,
    ) -> tuple[
        tuple[Any, ...],
        Float[Tensor, "T B P C"],
        tuple[list[Float[Tensor, "B P C"]], list[Float[Tensor, "B P C"]]],
    ]:
        """Allocates outputs and buffers for `drc_lab.models.compiled.loop.forward`, without running it.

        Args:
            e: as in `forward`, in the layout of the loop.
            h, c, save: as in `forward`.

        Returns:
            The arguments of the loop after ``first`` and ``last``; and the tensors that it will fill: h_top, (h, c).
        """
        (B, P, C), L, N = h[0].shape, len(h), sum(self.plan.repeats)
        shapes = (N, P, 4 * C), (N + 1, P, C), (N + 1, P, C), (N, 2 * C), (N, C)
        gates, cells, hidden, pooled, argmax = (
            h[0].new_empty((B, L, *shape) if save else (0,) * (2 + len(shape))) for shape in shapes
        )
        kept = Kept(gates, cells, hidden, pooled, argmax.view(torch.int32))
        self.kept = kept if save else None
        h_top = h[0].new_empty(len(self.plan.repeats), B, P, C)
        h_end, c_end = (h[0].new_empty(L, B, P, C) for _ in range(2))
        weights = self.weights.there_in_pairs if self.plan.bfloat16 else self.weights.there
        given = e, torch.stack(h), torch.stack(c), *weights, h_top, h_end, c_end, *kept
        return self._arguments(save, given), h_top, (list(h_end), list(c_end))

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
        B, L, N, weights = len(h[0]), len(h), sum(self.plan.repeats), self.weights
        back = weights.back_in_pairs if self.plan.bfloat16 else weights.back
        injects = back[2].numel() > 0
        grad_top = grad_top.contiguous()
        d_h, d_c, d_e = torch.stack(list(dh)), torch.stack(list(dc)), torch.empty_like(grad_top)
        d_injected = grad_top.new_empty(B, L, N, len(weights.inject[0]) if injects else 0)
        given = (_cells(e), *back, kept.gates, kept.cells, kept.hidden, kept.argmax, grad_top,
                 d_h, d_c, d_e)  # fmt: skip
        parts = self.parts()
        sums = [[torch.zeros_like(weight) for weight in weights.there[:3]] for _ in parts]  # one set per thread
        in_workers([partial(backward, part.start, part.stop, *self._arguments(True, (*given, *own, d_injected)))
                    for part, own in zip(parts, sums, strict=True)])  # fmt: skip
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

    def _arguments(self, save: bool, given: Sequence[Tensor]) -> tuple[Any, ...]:
        plan, weights = self.plan, self.weights
        shape = plan.height, plan.width, weights.drive.shape[2]
        kernels = kernels_for(weights.channels, *shape, plan.sigmoid_output, save, plan.bfloat16)
        repeats, below = (np.array(numbers) for numbers in (plan.repeats, weights.below))
        assert all(tensor.is_contiguous() for tensor in given)  # kernels compute addresses from shapes alone
        arrays = (tensor.numpy() for tensor in given)
        return kernels, shape, plan.kind.numpy(), repeats, plan.keep.numpy(), below, *arrays


def _cells(maps: Tensor) -> Tensor:
    return maps.permute(0, 1, 3, 4, 2).flatten(2, 3).contiguous()  # (T, B, C, H, W) -> (T, B, P, C)

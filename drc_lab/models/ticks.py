"""The DRC's tick loop over a whole sequence, with a hand-written gradient.

What does not change from tick to tick is computed once per step: the drive, one convolution of the encoding for all
layers. Each layer and tick then needs one convolution of the recurrent input [below, own h], a small matrix product
for pool-and-inject, and the gates.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from drc_lab.models.compiled.engine import CompiledTicks
from drc_lab.models.tick_plan import TickPlan, TickWeights
from drc_lab.models.torch_ticks import TorchTicks


class _Ticks(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, plan: TickPlan, weights: TickWeights, grad: bool, save: bool, e: Tensor, *flat: Tensor
    ) -> tuple[Any, ...]:
        L = len(weights.recurrent)
        h, c = list(flat[-2 * L : -L]), list(flat[-L:])
        compiled = e.device.type == "cpu" and e.dtype == torch.float32
        ticks = CompiledTicks(plan, weights) if compiled else TorchTicks(plan, weights)
        h_top, h_end, c_end = ticks.forward(e, h, c, save)
        if grad:
            ctx.ticks, ctx.layers = ticks, L
            ctx.save_for_backward(e, *h, *c)
        return h_top, *h_end, *c_end

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_top: Tensor, *grad_carry: Tensor) -> tuple[Any, ...]:
        (e, *before), ticks, L = ctx.saved_tensors, ctx.ticks, ctx.layers
        with torch.autocast(grad_top.device.type, enabled=False):  # as in the forward pass
            d_e, weights, dh, dc = ticks.backward(e, before[:L], before[L:], grad_top, grad_carry[:L], grad_carry[L:])
        d_e = d_e.unflatten(2, (ticks.plan.height, ticks.plan.width)).movedim(-1, 2)  # (T, B, C, H, W)
        return None, None, None, None, d_e, *weights, *dh, *dc


def run_ticks(
    plan: TickPlan,
    e: Float[Tensor, "T B C H W"],
    weights: TickWeights,
    h: list[Float[Tensor, "B P C"]],
    c: list[Float[Tensor, "B P C"]],
    recompute: bool = False,
) -> tuple[Float[Tensor, "T B P C"], list[Float[Tensor, "B P C"]], list[Float[Tensor, "B P C"]]]:
    """Runs all ticks of all steps: float32 on a CPU in one compiled loop, anything else in torch operations.

    Args:
        plan: the plan of the ticks.
        e: encoded observations, each of them channels-last.
        weights: the weights of all layers.
        h, c: the carry before the first tick, for each layer.
        recompute: whether the backward pass runs the ticks again, instead of storing their activations.

    Returns:
        h_top of the top layer after each step's last tick, and the final h and c of each layer.
    """
    tensors = [e, weights.drive, weights.base, *weights.recurrent, *weights.inject, *h, *c]
    grad = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    apply: Callable[..., tuple[Tensor, ...]] = _Ticks.apply  # untyped in torch
    h_top, *carry = apply(plan, weights, grad, grad and not recompute, *tensors)
    return h_top, carry[: len(h)], carry[len(h) :]

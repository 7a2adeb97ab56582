"""The recurrence in bfloat16: what is rounded, and how little that changes."""

import pytest
import torch
from test_drc import sequence, small
from torch.utils._pytree import tree_leaves, tree_map

from drc_lab.models.compiled.kernels import kernels_for
from drc_lab.models.torch_ticks import TorchTicks

WIRINGS = [
    {}, {"hidden_channels": 16, "num_layers": 1}, {"hidden_channels": 6, "kernel_size": 5, "pool_and_inject": False},
    {"hidden_channels": 24, "top_to_bottom": True, "output_gate": "sigmoid"}, {"hidden_channels": 2, "kernel_size": 1},
    {"num_layers": 1, "top_to_bottom": True, "use_boundary_channel": False},
]  # fmt: skip


class Rounding(TorchTicks):
    """What a convolution reads is rounded as bfloat16 is, and multiplied and added up in float32."""

    def cast(self, x):
        return x.bfloat16().float() if self.plan.bfloat16 else x


@pytest.fixture(params=["instruction", "plain"])
def anywhere(request, monkeypatch):
    """As if this CPU had the instructions, whatever it has; and as it would run on one that has none."""
    monkeypatch.setattr("drc_lab.models.drc_core.has_bfloat16", lambda device: True)
    if request.param == "plain":
        monkeypatch.setattr("drc_lab.models.compiled.kernels.multiplies_pairs", lambda: False)
    kernels_for.cache_clear()
    yield
    kernels_for.cache_clear()


def in_bfloat16(**kwargs):
    return small(recurrent_precision="bfloat16", **kwargs)


def answers(policy, obs, state, resets, repeats):
    """Outputs, and the gradients of carry and weights."""
    leaves = tree_map(lambda x: x.detach().requires_grad_(), state)
    out, final = policy.unroll(obs, leaves, resets, repeats)
    outputs = [out.policy_logits, out.value, *tree_leaves(final)]
    total = sum((x * torch.linspace(-1, 1, x.numel()).view(x.shape)).sum() for x in outputs)
    return outputs, torch.autograd.grad(total, [*tree_leaves(leaves), *policy.parameters()])


@pytest.mark.parametrize("kwargs", WIRINGS, ids=str)
@pytest.mark.parametrize("board", [(5, 5), (1, 1), (3, 11), (10, 4)], ids=str)
def test_convolutions_read_rounded_numbers_and_nothing_else_is_rounded(anywhere, kwargs, board, monkeypatch):
    """Forward and back, with episodes that start within; weight gradients are of what was not rounded."""
    policy = in_bfloat16(obs_shape=(3, *board), **kwargs)
    given = *sequence(policy), [3, 1, 2, 5, 3, 1]
    found = answers(policy, *given)
    monkeypatch.setattr("drc_lab.models.ticks.CompiledTicks", Rounding)
    for got, expected in zip(tree_leaves(found), tree_leaves(answers(policy, *given)), strict=True):
        torch.testing.assert_close(got, expected, rtol=2e-3, atol=2e-3 * max(1, expected.abs().max().item()))

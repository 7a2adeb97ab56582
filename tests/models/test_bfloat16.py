"""The recurrence in bfloat16: what is rounded, and how little that changes."""

import re

import pytest
import torch
from small_drc import sequence, small
from torch.utils._pytree import tree_leaves, tree_map

from drc_lab.errors import ConfigError
from drc_lab.models.compiled.kernels import kernels_for, rounding
from drc_lab.models.torch_ticks import TorchTicks

WIRINGS = [
    {},
    {"hidden_channels": 16, "num_layers": 1},
    {"hidden_channels": 6, "kernel_size": 5, "pool_and_inject": False},
    {"hidden_channels": 24, "top_to_bottom": True, "output_gate": "sigmoid"},
    {"hidden_channels": 2, "kernel_size": 1},
    {"num_layers": 1, "top_to_bottom": True, "use_boundary_channel": False},
]


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


def distance(found, expected):
    """The largest of all tensors, each relative to its length."""
    pairs = zip(tree_leaves(found), tree_leaves(expected), strict=True)
    return max(((x - y).norm() / y.norm()).item() for x, y in pairs if y.any())


@pytest.mark.parametrize("kwargs", WIRINGS, ids=str)
@pytest.mark.parametrize("board", [(5, 5), (1, 1), (3, 11), (10, 4)], ids=str)
def test_convolutions_read_rounded_numbers_and_nothing_else_is_rounded(anywhere, kwargs, board, monkeypatch):
    """Forward and back, with episodes that start within; weight gradients are of what was not rounded.

    A sum that comes out a little different may be rounded the other way, so few ticks and a distance of whole tensors.
    """
    policy = in_bfloat16(obs_shape=(3, *board), **kwargs)
    given = *sequence(policy, T=3), [1, 2, 1]
    found = answers(policy, *given)
    monkeypatch.setattr("drc_lab.models.ticks.CompiledTicks", Rounding)
    assert distance(found, answers(policy, *given)) < 2e-3


@pytest.mark.parametrize("kwargs", WIRINGS, ids=str)
def test_answers_and_gradients_are_close_to_those_in_float32(anywhere, kwargs):
    """And other than those: the key does something."""
    policy, exact = in_bfloat16(**kwargs), small(**kwargs)
    given = *sequence(policy), [3, 1, 2, 5, 3, 1]
    (outputs, gradients), (expected, exact_gradients) = (answers(each, *given) for each in (policy, exact))
    assert 1e-4 < distance(outputs, expected) < 0.02
    assert distance(list(gradients), list(exact_gradients)) < 0.3  # of 18 ticks of random weights
    weights = [name for name, _ in policy.named_parameters()]
    for name, got, wanted in zip(weights, gradients[-len(weights) :], exact_gradients[-len(weights) :], strict=True):
        if wanted.any():
            cosine = torch.cosine_similarity(got.flatten(), wanted.flatten(), dim=0)
            assert cosine > 0.95, f"{name} would be moved elsewhere"


def test_a_carry_stays_close_over_a_hundred_steps(anywhere):
    """Gates forget: what is rounded does not add up."""
    policy, exact = in_bfloat16(hidden_channels=16), small(hidden_channels=16)
    obs, state, resets = sequence(policy, T=100)
    resets[:] = False
    with torch.no_grad():
        carries = [each.unroll(obs, state, resets)[1] for each in (policy, exact)]
        early = [each.unroll(obs[:10], state, resets[:10])[1] for each in (policy, exact)]
    assert distance(*carries) < max(0.02, 2 * distance(*early))


def test_float32_is_untouched(anywhere):
    """To the last bit, whatever ran before it in bfloat16, and where weights are kept for acting."""
    policy, given = small(), (*sequence(small()), [3, 1, 2, 5, 3, 1])
    before = tree_leaves(answers(policy, *given))
    with policy.frozen(), torch.no_grad():
        policy.stack.recurrent_precision = "bfloat16"
        rounded = policy.unroll(*given)[0].value
        policy.stack.recurrent_precision = "float32"
        torch.testing.assert_close(policy.unroll(*given)[0].value, before[1], rtol=1e-5, atol=1e-6)
        assert not torch.equal(rounded, before[1])
    for got, expected in zip(tree_leaves(answers(policy, *given)), before, strict=True):
        assert torch.equal(got, expected)


@pytest.mark.parametrize("kwargs", [{}, {"top_to_bottom": True}, {"recompute_steps": 2}], ids=str)
def test_acting_learning_threads_and_recomputing_agree(anywhere, kwargs, monkeypatch):
    policy, given = in_bfloat16(**kwargs), (*sequence(in_bfloat16(**kwargs)), [3, 1, 2, 5, 3, 1])
    outputs, gradients = answers(policy, *given)
    with policy.frozen(), torch.no_grad():
        torch.testing.assert_close(policy.unroll(*given)[0].policy_logits, outputs[0], rtol=1e-4, atol=1e-5)
    torch.set_num_threads(2)
    monkeypatch.setattr("drc_lab.models.workers.WORK_FOR_A_THREAD", 1)
    monkeypatch.setattr(policy.stack, "recompute_steps", None)
    assert distance(answers(policy, *given), (outputs, gradients)) < 1e-3


@pytest.mark.parametrize("kwargs", WIRINGS[:1] + WIRINGS[3:4], ids=str)
def test_the_loop_of_torch_rounds_the_same(anywhere, kwargs, monkeypatch):
    """As on a GPU, whose convolutions return rounded sums."""
    policy = in_bfloat16(**kwargs)
    given = *sequence(policy, T=3), [1, 2, 1]
    monkeypatch.setattr("drc_lab.models.ticks.CompiledTicks", TorchTicks)
    found = answers(policy, *given)
    monkeypatch.setattr("drc_lab.models.ticks.CompiledTicks", Rounding)
    expected = answers(policy, *given)
    assert distance(found[0], expected[0]) < 0.02 and distance(found[1], expected[1]) < 0.2


def test_rounding_is_that_of_torch():
    """To the nearest, of two as near the even one; zeros, infinities, NaN and the smallest numbers included."""
    x = torch.cat([torch.randn(1000), torch.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-40, 3e38]),
                   torch.tensor([0x3F808000, 0x3F818000, 0x3F80FFFF, 0x7F7FFFFF, 0x7F800001, 0x7FFFFFFF],
                                dtype=torch.int32).view(torch.float32), torch.zeros(3)])  # fmt: skip
    out, rounds = torch.zeros(len(x), dtype=torch.bfloat16), rounding(16 if len(x) % 16 == 0 else 8)
    assert len(x) % 8 == 0
    rounds.ctypes(len(x), x.data_ptr(), out.data_ptr())
    expected = x.bfloat16()
    assert torch.equal(out.isnan(), expected.isnan())
    assert torch.equal(out.nan_to_num(7).view(torch.int16), expected.nan_to_num(7).view(torch.int16))


@pytest.mark.parametrize(
    ("kwargs", "line"),
    [
        ({"hidden_channels": 5}, "found 'bfloat16', allowed: float32 with 5 channels, an odd number"),
        ({"top_to_bottom": True, "residual": "layers"}, "found 'bfloat16', allowed: float32 with this residual"),
        ({"recurrent_precision": "float16"}, "found 'float16', allowed: float32 | bfloat16"),
    ],
)
def test_what_it_cannot_be_is_refused(kwargs, line):
    with pytest.raises(ConfigError, match=f"recurrent_precision: {re.escape(line)}"):
        small(**({"recurrent_precision": "bfloat16"} | kwargs))


def test_a_cpu_without_the_instructions_computes_in_float32(monkeypatch):
    monkeypatch.setattr("drc_lab.models.drc_core.has_bfloat16", lambda device: False)
    policy, given = in_bfloat16(), (*sequence(in_bfloat16()), [3, 1, 2, 5, 3, 1])
    for got, expected in zip(tree_leaves(answers(policy, *given)), tree_leaves(answers(small(), *given)), strict=True):
        assert torch.equal(got, expected)

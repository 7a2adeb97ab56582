"""The DRC's tick loops, compiled and of torch's operations: alike, whatever is kept, cut, frozen or run in threads."""

import copy
from itertools import product

import pytest
import torch
from small_drc import sequence, small
from torch.utils._pytree import tree_leaves, tree_map

from drc_lab.models.compiled.emit import Registers
from drc_lab.models.compiled.gates import gates_forward
from drc_lab.models.compiled.kernels import kernels_for, tile
from drc_lab.models.compiled.memory import at
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.torch_ticks import FEATURES_OF_A_WEIGHT_GRADIENT, TorchTicks
from drc_lab.models.workers import parts_of
from drc_lab.numerics import jit


def test_the_gradient_can_be_taken_again():
    policy = small()
    obs, state, resets = sequence(policy)
    out, _ = policy.unroll(obs, state, resets)
    first = torch.autograd.grad(out.value.sum(), list(policy.stack.parameters()), retain_graph=True)
    second = torch.autograd.grad(out.value.sum(), list(policy.stack.parameters()))
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("wiring", [{}, {"top_to_bottom": True, "output_gate": "sigmoid"}], ids=str)
def test_threads_change_nothing(wiring, monkeypatch):
    """5 samples in two threads: values, carries and all gradients as in one."""
    policy = small(**wiring)
    obs, state, resets = sequence(policy, B=5)
    obs.requires_grad_()
    leaves = tree_map(lambda x: x.requires_grad_(), state)
    answers = []
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        for work, parts in ((10**12, 1), (1, 2)):
            monkeypatch.setattr("drc_lab.models.workers.WORK_FOR_A_THREAD", work)
            assert len(parts_of(5, 1)) == parts
            out, final = policy.unroll(obs, leaves, resets, [3, 1, 2, 5, 3, 1])
            outputs = [out.policy_logits, out.value, *tree_leaves(final)]
            total = sum((x * torch.linspace(-1, 1, x.numel()).view(x.shape)).sum() for x in outputs)
            answers.append([*outputs, *torch.autograd.grad(total, [obs, *tree_leaves(leaves), *policy.parameters()])])
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    for got, expected in zip(*answers, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5 * max(1, expected.abs().max().item()))


@pytest.mark.parametrize("steps", [1, 2, 4, 6])
def test_recomputing_activations_changes_neither_values_nor_gradients(steps):
    policy = small()
    obs, state, resets = sequence(policy)
    leaves = tree_map(lambda x: x.requires_grad_(), state)
    answers = []
    for size in (None, steps):
        policy.stack.recompute_steps = size
        out, final = policy.unroll(obs, leaves, resets, [3, 1, 2, 5, 3, 1])
        outputs = [out.policy_logits, out.value, *tree_leaves(final)]
        total = sum((x * torch.linspace(-1, 1, x.numel()).view(x.shape)).sum() for x in outputs)
        answers.append([*outputs, *torch.autograd.grad(total, [*tree_leaves(leaves), *policy.parameters()])])
    torch.testing.assert_close(*answers, rtol=1e-5, atol=1e-5)


def test_a_frozen_policy_answers_the_same_and_sees_new_weights_afterwards():
    policy = small()
    obs, state, _ = sequence(policy, T=2)
    with torch.no_grad():
        expected = [policy(x, state)[0].policy_logits for x in obs]
        with policy.frozen():
            got = [policy(x, state)[0].policy_logits for x in obs]
        torch.testing.assert_close(got, expected)
        for weight in policy.stack.parameters():
            weight *= 1.5
        changed = policy(obs[0], state)[0].policy_logits
    assert (changed - expected[0]).abs().max() > 1e-3
    with policy.frozen():  # gradients need weights of their own
        policy(obs[0], state)[0].value.sum().backward()
    assert all(p.grad is not None for p in policy.stack.parameters())


@pytest.mark.parametrize("features", [1, 1_000, 10_000_000])
def test_weight_gradients_do_not_depend_on_how_they_are_batched(features, monkeypatch):
    policy = small().double()
    obs, state, resets = sequence(policy, dtype=torch.float64)
    gradients = []
    for size in (features, 400):
        monkeypatch.setitem(FEATURES_OF_A_WEIGHT_GRADIENT, "cpu", size)
        out, _ = policy.unroll(obs, state, resets, [3, 1, 2, 5, 3, 1])
        gradients.append(torch.autograd.grad(out.value.sum(), list(policy.stack.parameters())))
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


# Sizes by which vectors and parts of rows are chosen: none of them a multiple of the other.
@pytest.mark.parametrize("kwargs", [
    {}, {"hidden_channels": 16, "num_layers": 1}, {"hidden_channels": 5, "kernel_size": 5, "pool_and_inject": False},
    {"hidden_channels": 24, "top_to_bottom": True, "output_gate": "sigmoid"}, {"hidden_channels": 1, "kernel_size": 1},
    {"num_layers": 1, "top_to_bottom": True, "use_boundary_channel": False},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("board", [(5, 5), (1, 1), (3, 11), (10, 4), (2, 23)], ids=str)
def test_the_compiled_loop_equals_that_of_torch(kwargs, board, monkeypatch):
    policy = small(obs_shape=(3, *board), **kwargs)
    obs, state, resets = sequence(policy)
    leaves = tree_map(lambda x: x.requires_grad_(), state)
    answers = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr("drc_lab.models.ticks.CompiledTicks", TorchTicks)
        out, final = policy.unroll(obs, leaves, resets, [3, 1, 2, 5, 3, 1])
        outputs = [out.policy_logits, out.value, *tree_leaves(final)]
        total = sum((x * torch.linspace(-1, 1, x.numel()).view(x.shape)).sum() for x in outputs)
        answers.append([*outputs, *torch.autograd.grad(total, [*tree_leaves(leaves), *policy.parameters()])])
    for got, expected in zip(*answers, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5 * max(1, expected.abs().max().item()))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"encoding_to_head": "add"},
        {"encoding_to_head": "concat", "encoder_relu": True, "encoder_layers": 3},
        {"encoder_kernel_size": 4, "encoder_layers": 1},
        {"num_layers": 1, "hidden_channels": 16, "proj_dim": 7},
        {"obs_shape": (1, 1, 1), "kernel_size": 5, "pool_and_inject": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("bytes_", [False, True])
@pytest.mark.parametrize("work", [1, 10**9])
def test_steps_with_frozen_weights_are_those_of_torch(kwargs, bytes_, work, monkeypatch):
    monkeypatch.setattr("drc_lab.models.workers.WORK_FOR_A_THREAD", work)
    policy = small(**kwargs)
    with torch.no_grad():
        for parameter in policy.parameters():  # no bias is zero, as many are at first
            parameter += 0.1 * torch.randn_like(parameter)
    obs, state, resets = sequence(policy, B=7)
    obs = (obs * 50).abs().to(torch.uint8) if bytes_ else obs
    with torch.no_grad():
        expected = policy.unroll(obs, state, resets, [3, 1, 2, 5, 3, 1])
        monkeypatch.setattr(policy.head, "forward", None)  # not used
        with policy.frozen():
            got = policy.unroll(obs, state, resets, [3, 1, 2, 5, 3, 1])
    for one, other in zip(tree_leaves(got), tree_leaves(expected), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_steps_with_frozen_weights_see_weights_that_have_changed_since():
    policy = small()
    obs, state, _ = sequence(policy)
    for _ in range(2):
        with torch.no_grad():
            policy.head.value.bias += 1
            with policy.frozen(), policy.frozen():
                frozen = policy(obs[0], state)[0].value
            torch.testing.assert_close(frozen, policy(obs[0], state)[0].value, rtol=1e-4, atol=1e-5)
    with policy.frozen():
        assert copy.deepcopy(policy)._acting is None


class Doubled(DRCPolicy):
    def _head_input(self, h_top, e):
        return 2 * h_top


@pytest.mark.parametrize("how", ["gradients", "float64", "autocast", "other_head", "subclass"])
def test_steps_with_frozen_weights_keep_to_what_was_asked_for(how):
    torch.manual_seed(1)
    kwargs = {"obs_shape": (3, 5, 6), "num_actions": 4, "hidden_channels": 8}
    kwargs |= {"head": "mean"} if how == "other_head" else {}
    policy = (Doubled if how == "subclass" else DRCPolicy)(**kwargs)
    policy = policy.double() if how == "float64" else policy
    obs, state, resets = sequence(policy, dtype=torch.float64 if how == "float64" else torch.float32)
    with torch.set_grad_enabled(how == "gradients"), torch.autocast("cpu", enabled=how == "autocast"):
        expected = policy.unroll(obs, state, resets)[0].value
        with policy.frozen():
            value = policy.unroll(obs, state, resets)[0].value
    assert value.requires_grad == (how == "gradients")
    assert torch.equal(value, expected)


@pytest.mark.parametrize(("lanes", "number"), [(16, 32), (8, 16), (4, 32), (4, 16)])
def test_tiles_fit_into_the_registers_of_any_cpu(lanes, number, monkeypatch):
    monkeypatch.setattr("drc_lab.models.compiled.kernels.registers", lambda: Registers(lanes, number))
    tile.cache_clear()
    for features, width, k in product((1, 5, 16, 20, 64, 96, 132), (1, 4, 5, 7, 10, 13, 50), (1, 3, 5)):
        rows, vectors, each = tile(features, width, k)
        assert each <= lanes
        assert features % (vectors * each) == 0
        assert 1 <= rows <= width
        assert rows * vectors + min(rows, k * vectors) + 1 <= number
    assert tile(64, 5, 3) == ((5, 4, lanes) if number > 16 else (5, 2, lanes))
    tile.cache_clear()


def test_the_compiled_loop_runs_with_the_vectors_of_smaller_cpus(monkeypatch):
    """What AVX2 and SSE would do, which this CPU can do as well."""
    policy = small(hidden_channels=16)
    obs, state, resets = sequence(policy)
    answers = []
    for numbers in (None, (8, 16), (4, 16)):
        if numbers:
            monkeypatch.setattr(
                "drc_lab.models.compiled.kernels.registers", lambda numbers=numbers: Registers(*numbers)
            )
        for cached in (tile, kernels_for):
            cached.cache_clear()
        out, _ = policy.unroll(obs, state, resets, [3, 1, 2, 5, 3, 1])
        answers.append([out.value, *torch.autograd.grad(out.value.sum(), list(policy.stack.parameters()))])
    monkeypatch.undo()
    for cached in (tile, kernels_for):
        cached.cache_clear()
    for other in answers[1:]:
        torch.testing.assert_close(other, answers[0], rtol=1e-4, atol=1e-5)


def test_compiled_gates_are_accurate_and_let_nan_through():
    C = 16

    @jit
    def apply(z, inject, c, h, kept, total, peak, where):
        for j in range(0, 4 * C, 4 * 4):
            gates_forward(
                4,
                False,
                True,
                4 * C,
                at(z) + j,
                at(inject) + j,
                at(c) + j,
                at(c) + j,
                at(h) + j,
                at(kept) + j,
                at(total) + j,
                at(peak) + j,
                at(where) + j,
                3,
            )

    inf = float("inf")
    values = torch.cat([torch.linspace(-20, 20, 4_000), torch.tensor([inf, -inf, 1e-30, 0.0] * 24)]).view(-1, 4 * C)
    for z in values:
        kept, c, h = torch.zeros(4 * C), torch.full((C,), 0.3), torch.zeros(C)
        where = torch.zeros(C, dtype=torch.int32)
        apply(*(x.numpy() for x in (z, torch.zeros(4 * C), c, h, kept, torch.zeros(C), torch.zeros(C), where)))
        i, f, g, o = z.double().chunk(4)
        i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.tanh(o)
        torch.testing.assert_close(kept.double(), torch.cat([i, f, g, o]), atol=6e-7, rtol=0)
        torch.testing.assert_close(c.double(), f * 0.3 + i * g, atol=1e-6, rtol=0)
        torch.testing.assert_close(h.double(), o * torch.tanh(f * 0.3 + i * g), atol=1e-6, rtol=0)
        assert ((where == 3) == (h > 0)).all()
    z[5] = float("nan")
    apply(*(x.numpy() for x in (z, torch.zeros(4 * C), c, h, kept, torch.zeros(C), torch.zeros(C), where)))
    assert h[5].isnan() and not h[4].isnan()


def test_a_backward_pass_inside_autocast_equals_one_outside():
    policy = small()
    obs, state, resets = sequence(policy)
    gradients = []
    for inside in (True, False):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            _, final = policy.unroll(obs, state, resets)
            wanted = list(policy.stack.parameters())
            if inside:
                gradients.append(torch.autograd.grad(final[0][-1].sum(), wanted))
        if not inside:
            gradients.append(torch.autograd.grad(final[0][-1].sum(), wanted))
    for got, expected in zip(*gradients, strict=True):  # what is outside of the loop is rounded to bf16
        torch.testing.assert_close(got, expected, rtol=1e-2, atol=1e-2 * max(1, expected.abs().max().item()))


@pytest.mark.parametrize("residual", ["none", "layers"])
def test_inference_mode_works_in_threads_and_leaves_training_alone(residual, monkeypatch):
    monkeypatch.setattr("drc_lab.models.workers.WORK_FOR_A_THREAD", 1)
    policy = small(obs_shape=(3, 6, 7), top_to_bottom=True, residual=residual)
    obs, state, resets = sequence(policy)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.inference_mode():
            answer = policy.unroll(obs, state, resets)[0].policy_logits.clone()
        out, _ = policy.unroll(obs, state, resets)
        out.value.sum().backward()
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(answer, out.policy_logits)


def test_a_copy_made_while_frozen_is_not_frozen_and_frozen_contexts_nest():
    policy = small()
    obs, state, _ = sequence(policy, T=1)
    with torch.no_grad(), policy.frozen():
        expected = policy(obs[0], state)[0].policy_logits
        with policy.frozen():
            pass
        assert policy.stack._frozen
        other = copy.deepcopy(policy)
        for weight in other.stack.parameters():
            weight *= 1.5
        assert (other(obs[0], state)[0].policy_logits - expected).abs().max() > 1e-3
    assert policy.stack._frozen is None

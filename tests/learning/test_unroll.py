"""Learning by recordings: the gradients are those of the baseline policy, whatever came between."""

import pytest
import torch
from policies import POLICIES, SHAPE
from recorders import CPURecorder, Refusing
from torch.utils._pytree import tree_leaves

from drc_lab.learning.recording import Recorder
from drc_lab.learning.unroll import GraphedUnroll

GPU = pytest.param("cuda", marks=pytest.mark.gpu)


def sequence(policy, steps=3, batch=2, seed=0):
    """obs, carry, resets, ticks; one episode starts in the middle."""
    weight, generator = next(policy.parameters()), torch.Generator().manual_seed(seed)
    obs = torch.rand(steps, batch, *SHAPE, generator=generator, dtype=weight.dtype)
    carry = policy.init_state(batch, device=weight.device, dtype=weight.dtype)
    for x in tree_leaves(carry):
        x.copy_(torch.randn(x.shape, generator=generator, dtype=weight.dtype))
    resets = torch.zeros(steps, batch, dtype=torch.bool)
    resets[1, 0] = True
    return obs.to(weight.device), carry, resets.to(weight.device), (2,) * steps


def learned(policy, unroll, given):
    """Outputs, and the gradients of all weights."""
    policy.zero_grad()
    logits, values = unroll(*given)[:2]
    (logits.square().sum() + values.sum()).backward()
    return [logits.detach(), values.detach()], {name: p.grad for name, p in policy.named_parameters()}


def plain(policy):
    return lambda *given: policy.unroll(*given)[0]


def made(name, device):
    """A policy, and how it is recorded there; float32 on a CPU would run in compiled code that no recorder sees."""
    policy = POLICIES[name]().to(device)
    if device == "cpu":
        policy = policy.double()
    return policy, GraphedUnroll(policy, recorder=CPURecorder if device == "cpu" else Recorder)


def change(policy):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += (0.1 * torch.randn(parameter.shape, generator=generator)).to(parameter)


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("name", POLICIES)
def test_replayed_gradients_are_those_of_the_policy_as_it_is(name, device):
    """With the weights, the carry and the observations changing between the passes, and a smaller last minibatch."""
    policy, graphed = made(name, device)
    for seed, batch in enumerate((2, 2, 3, 2)):
        given = sequence(policy, batch=batch, seed=seed)
        expected, found = (learned(policy, unroll, given) for unroll in (plain(policy), graphed))
        assert {name for name, g in found[1].items() if g is None} == {n for n, g in expected[1].items() if g is None}
        torch.testing.assert_close(tree_leaves(found), tree_leaves(expected), rtol=1e-4, atol=1e-5)
        change(policy)
    assert len(graphed.recordings.kept) == 2 and not graphed.recordings.failed


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_nothing_that_was_returned_changes_with_the_next_replay(device):
    policy, graphed = made("drc", device)
    first = learned(policy, graphed, sequence(policy))
    kept = [x.clone() for x in tree_leaves(first)]
    learned(policy, graphed, sequence(policy, seed=1))
    torch.testing.assert_close(tree_leaves(first), kept, rtol=0, atol=0)


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_two_minibatches_add_up_where_no_gradient_is_cleared(device):
    policy, graphed = made("drc", device)
    totals = []
    for unroll in (plain(policy), graphed):
        policy.zero_grad()
        for seed in range(2):
            logits, values = unroll(*sequence(policy, seed=seed))
            (logits.square().sum() + values.sum()).backward()
        totals.append([p.grad for p in policy.parameters()])
    torch.testing.assert_close(*totals, rtol=1e-4, atol=1e-5)


def test_what_cannot_be_recorded_learns_as_it_is_written_after_one_line():
    said, policy = [], POLICIES["drc"]().double()
    graphed = GraphedUnroll(policy, said.append, Refusing)
    for seed in range(2):
        given = sequence(policy, seed=seed)
        torch.testing.assert_close(
            *(tree_leaves(learned(policy, unroll, given)) for unroll in (graphed, plain(policy))), rtol=0, atol=0
        )
    (line,) = said
    assert line.startswith("algo.rollouts.cuda_graph: learning without") and line.endswith("stream is capturing)")

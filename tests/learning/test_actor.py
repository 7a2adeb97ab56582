"""Acting by a recording: its buffers, its weights, and what a GPU could record.

A recording is what CUDA's is: the same operations on the same memory, whatever Python would do by now, see
`recorders`. Torch's meta device computes nothing, so what has to wait for a result of a GPU's fails there.
"""

from contextlib import nullcontext

import gymnasium as gym
import pytest
import torch
from policies import POLICIES, SHAPE
from recorders import CPURecorder, Refusing
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.learning.actor import Actor, GraphedActor
from drc_lab.learning.rollouts import RolloutSpec, RolloutStream


def make(actor, name="drc", groups=2, **spec):
    spec = RolloutSpec(**({"num_envs": 6, "num_steps": 5, "frames": 600} | spec))
    envs = [gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=6 // groups, max_steps=4) for _ in range(groups)]
    torch.manual_seed(0)
    policy = POLICIES[name]().double()  # float32 runs in compiled code, which torch's dispatcher does not see
    return RolloutStream(spec, envs, policy, 0, values=True, actor=actor(policy))


def change(policy):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


def collected(stream, rollouts=4):
    """Rollouts with the weights changing between them, all kept until the end."""
    found = []
    for _ in range(rollouts):
        found.append(stream.collect())
        change(stream.policy)
    return found


@pytest.mark.parametrize("name", POLICIES)
def test_replayed_rollouts_are_those_of_the_policy_as_it_is(name):
    """Weights, also those derived from them, carries, context and each number of ticks are the present ones."""
    options = {"min_repeats": 1, "max_repeats": 3, "burn_in": 7, "progressive_weight": 0.5}
    graphed = make(lambda policy: GraphedActor(policy, recorder=CPURecorder), name, **options)
    expected = collected(make(Actor, name, **options))
    # Static buffers have a memory layout of their own, in which sums may be added up in another order.
    torch.testing.assert_close(tree_leaves(collected(graphed)), tree_leaves(expected), rtol=1e-9, atol=1e-12)
    assert sorted(key[0] for key in graphed.actor.recordings.kept) == [1, 2, 3]


def test_nothing_that_was_returned_changes_with_the_next_replay():
    actor = GraphedActor(POLICIES["drc"]().double(), recorder=CPURecorder)
    resets, carry = torch.zeros(2, dtype=torch.bool), actor.policy.init_state(2, dtype=torch.float64)
    with torch.no_grad(), actor.ready():
        obs = [torch.rand(2, *SHAPE) for _ in range(3)]
        first = actor.act(obs[0], carry, resets, 2)
        kept = tree_map(torch.clone, first)
        actor.act(obs[1], first[1], resets, 2)
        actor.act(obs[2], carry, resets, 2)
    torch.testing.assert_close(first, kept, rtol=0, atol=0)
    assert not any(x.any() for x in tree_leaves(carry)), "the carry that was given is not written to"


def test_a_recording_is_void_where_weights_have_moved_or_shapes_differ():
    actor = GraphedActor(POLICIES["drc"]().double(), recorder=CPURecorder)

    def act(batch):
        obs, resets = torch.ones(batch, *SHAPE), torch.ones(batch, dtype=torch.bool)
        given = obs, actor.policy.init_state(batch, dtype=torch.float64), resets, 2
        with torch.no_grad(), actor.ready():
            found = actor.act(*given)
            torch.testing.assert_close(found, Actor(actor.policy).act(*given), rtol=0, atol=0)

    act(2)
    change(actor.policy)
    act(2)
    assert len(actor.recordings.kept) == 1
    act(3)
    assert len(actor.recordings.kept) == 2
    for parameter in actor.policy.parameters():
        parameter.data = parameter.data + 0.1
    act(2)
    assert len(actor.recordings.kept) == 1


def test_what_cannot_be_recorded_runs_as_it_is_written_after_one_line():
    said = []

    graphed = make(lambda policy: GraphedActor(policy, said.append, Refusing))
    torch.testing.assert_close(tree_leaves(collected(graphed)), tree_leaves(collected(make(Actor))), rtol=0, atol=0)
    (line,) = said
    assert line.endswith("cannot be recorded (operation not permitted when stream is capturing)")


class OneDevice(TorchDispatchMode):
    """Refuses operations on tensors of several devices: a capture cannot hold copies from memory that is not pinned."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        devices = {x.device.type for x in tree_leaves((args, kwargs, result)) if isinstance(x, torch.Tensor)}
        assert len(devices) < 2, f"{func} of {devices}"
        return result


@pytest.mark.parametrize("name", POLICIES)
def test_in_no_policy_a_gpu_and_the_cpu_wait_for_each_other_after_the_first_step(name, monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())  # knows no meta device
    policy = POLICIES[name]().to("meta")
    obs = torch.zeros(1, 2, *SHAPE, dtype=torch.uint8, device="meta")
    resets, carry = torch.zeros(1, 2, dtype=torch.bool, device="meta"), policy.init_state(2, device="meta")
    with torch.no_grad():
        policy.unroll(obs, carry, resets, 3)
        with OneDevice():
            out, _ = policy.unroll(obs, carry, resets, 3)
    assert out.policy_logits.shape == (1, 2, 4)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", [None, torch.bfloat16])
@pytest.mark.parametrize("name", POLICIES)
def test_on_a_gpu_a_cuda_graph_gives_the_rollouts_of_the_policy_as_it_is(name, precision):
    """Pinned transfers, events and capture, with and without autocast."""
    found = []
    for actor in (Actor, GraphedActor):
        torch.manual_seed(0)
        policy = POLICIES[name]().cuda()
        envs = [gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=3, max_steps=4, copy=False) for _ in range(2)]
        spec = RolloutSpec(num_envs=6, num_steps=5, frames=600, min_repeats=1, max_repeats=3, burn_in=7)
        acting = (lambda: torch.autocast("cuda", precision)) if precision else nullcontext
        stream = RolloutStream(spec, envs, policy, 0, values=True, acting=acting, actor=actor(policy))
        assert stream.groups[0].obs.is_pinned() and stream.groups[0].resets.is_pinned()
        rollouts = []
        for _ in range(4):
            rollouts.append(stream.collect())
            generator = torch.Generator("cuda").manual_seed(1)
            with torch.no_grad():
                for parameter in policy.parameters():
                    parameter += 0.1 * torch.randn(parameter.shape, generator=generator, device="cuda")
        found.append(rollouts)
        assert not (actor is GraphedActor and stream.actor.recordings.failed)
    torch.testing.assert_close(tree_leaves(found[1]), tree_leaves(found[0]), rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
def test_on_a_gpu_what_cannot_be_captured_runs_as_it_is_written():
    said, policy = [], POLICIES["drc"]().cuda()
    unroll = policy.unroll

    def waits(obs, *rest):
        assert obs.float().mean().item() >= 0
        return unroll(obs, *rest)

    policy.unroll = waits
    actor, before = GraphedActor(policy, said.append), torch.cuda.current_stream()
    obs, resets = torch.ones(2, *SHAPE), torch.ones(2, dtype=torch.bool)
    carry = policy.init_state(2, device="cuda")
    for _ in range(2):
        with torch.no_grad(), actor.ready():
            out, _ = actor.act(obs, carry, resets, 2)
    assert len(said) == 1 and out.policy_logits.isfinite().all() and torch.cuda.current_stream() == before

"""Envs in groups: each lives as if it were alone, and all together are one rollout like any other."""

from itertools import islice

import gymnasium as gym
import pytest
import torch
from commands import TINY, run_here
from torch.utils._pytree import tree_leaves, tree_map

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.app.held_out import held_out_env
from drc_lab.app.settings import Settings
from drc_lab.errors import ConfigError
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.learning.checkpoints import load_policy
from drc_lab.learning.groups import group_seed
from drc_lab.learning.rollouts import RolloutSpec, RolloutStream
from drc_lab.models.drc import DRCPolicy

ENV = "drc_lab/RicochetRobots-v0"
EVERYTHING = {"minibatches": 3, "min_repeats": 1, "max_repeats": 3, "burn_in": 7, "progressive_weight": 0.5}


def make(groups=2, rank=0, values=True, seed=0, **spec):
    spec = RolloutSpec(**({"num_envs": 6, "num_steps": 5, "frames": 6000, "groups": groups} | spec))
    sizes = spec.group_sizes(ranks=1, on_gpu=False)
    envs = [gym.make_vec(ENV, num_envs=size, max_steps=4, copy=False) for size in sizes]
    torch.manual_seed(seed)
    policy = DRCPolicy(envs[0].single_observation_space.shape, int(envs[0].single_action_space.n), 4, 2, 2, proj_dim=8)
    return RolloutStream(spec, envs, policy, seed, rank, values)


def change(policy):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


@pytest.mark.parametrize("groups", [2, 3])
def test_each_group_lives_as_it_would_alone(groups):
    """Played by hand, one group after the other: observations, carries, resets, actions and bootstrap values."""
    stream = make(groups)
    rollouts = []
    for _ in range(3):
        rollouts.append(stream.collect())
        change(stream.policy)
    alone = make(groups)
    for number, group in enumerate(alone.groups):
        policy = make().policy
        size = 6 // groups
        envs = slice(number * size, (number + 1) * size)
        draw = torch.Generator().manual_seed(group_seed(0, 0, number))
        obs, _ = group.env.reset(seed=group_seed(0, 0, number))
        carry, resets = policy.init_state(size), torch.ones(size, dtype=torch.bool)
        for rollout in rollouts:
            moves, values = rollout.transitions, rollout.transitions.behaviour_values
            assert_same(tree_map(lambda x, envs=envs: x[envs], rollout.carry), carry)
            for t in range(6):
                assert torch.equal(rollout.obs[t, envs], torch.from_numpy(obs))
                assert torch.equal(moves.resets[t, envs], resets)
                with torch.no_grad(), policy.frozen():  # as the actor does
                    out, after = policy.unroll(torch.from_numpy(obs)[None], carry, resets[None], 2)
                assert torch.equal(values[t, envs], out.value[0, :, 0])
                if t < 5:
                    assert torch.equal(moves.behaviour_logits[t, envs], out.policy_logits[0])
                    actions = torch.multinomial(out.policy_logits[0].softmax(-1), 1, generator=draw)[:, 0]
                    assert torch.equal(moves.actions[t, envs], actions)
                    obs, reward, ended, cut, _ = group.env.step(actions.numpy())
                    assert torch.equal(moves.rewards[t, envs], torch.from_numpy(reward).float())
                    assert torch.equal(moves.truncated[t, envs], torch.from_numpy(cut))
                    carry, resets = after, torch.from_numpy(ended | cut)
            change(policy)


def assert_same(found, wanted):
    for a, b in zip(tree_leaves(found), tree_leaves(wanted), strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def noted(log, word, call):
    def noting(*args):
        log.append(word)
        return call(*args)

    return noting


def test_whenever_a_group_steps_all_others_have_been_sent_to_the_policy():
    """The last questions are of the step to bootstrap from; a loss that needs no values has none."""
    for values, last in ((True, ["ask 0", "step 1", "ask 1"]), (False, ["step 1"])):
        stream, log = make(values=values, num_steps=2), []
        for number, group in enumerate(stream.groups):
            group.ask = noted(log, f"ask {number}", group.ask)
            group.step = noted(log, f"step {number}", group.step)
        stream.collect()
        assert log == ["ask 0", "ask 1", "step 0", "ask 0", "step 1", "ask 1", "step 0", *last]


def test_context_carries_and_minibatches_are_of_all_groups_in_one_order():
    """Replaying any part of a rollout gives the logits that acted."""
    stream = make(**EVERYTHING)
    for rollout in islice(stream, 3, 9):
        moves, context, progressive = rollout.transitions, rollout.context, rollout.progressive
        out, _ = stream.policy.unroll(rollout.obs, rollout.carry, moves.resets, rollout.repeats)
        torch.testing.assert_close(out.policy_logits[:-1], moves.behaviour_logits, atol=1e-6, rtol=1e-5)
        _, carry = stream.policy.unroll(context.obs, context.carry, context.resets, context.repeats)
        torch.testing.assert_close(tree_leaves(carry), tree_leaves(rollout.carry), atol=1e-6, rtol=1e-5)
        step = tree_map(lambda x: x[2], progressive.carries)
        out, _ = stream.policy.unroll(rollout.obs[2:3], step, moves.resets[2:3], rollout.repeats[2:3])
        torch.testing.assert_close(out.policy_logits[0], moves.behaviour_logits[2], atol=1e-6, rtol=1e-5)


def test_saved_and_loaded_groups_go_on_bit_for_bit():
    stream = make(**EVERYTHING)
    rollouts = iter(stream)
    list(islice(rollouts, 6))
    state = tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, stream.get_state())
    assert not [x for x in tree_leaves(state) if not isinstance(x, torch.Tensor | int | float | str | bool | None)]
    expected = list(islice(rollouts, 9))
    other = make(**EVERYTHING)
    other.set_state(state)
    for rollout, again in zip(expected, other, strict=False):
        assert rollout.repeats == again.repeats and rollout.frames == again.frames
        for part in ("obs", "carry", "transitions", "context", "progressive"):
            assert_same(getattr(again, part), getattr(rollout, part))


def test_a_state_from_before_there_were_groups_is_that_of_one():
    stream = make(groups=1)
    stream.collect()
    state = stream.get_state()
    (only,) = state.pop("groups")
    other = make(groups=1, seed=1)
    other.policy.load_state_dict(stream.policy.state_dict())
    other.set_state(tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, state | only))
    assert_same(other.collect().transitions, stream.collect().transitions)


@pytest.mark.parametrize(("before", "now"), [(2, 1), (1, 2), (2, 3)])
def test_another_number_of_groups_is_refused_by_a_state(before, now):
    with pytest.raises(ConfigError, match=f"^algo.rollouts.groups: found {now}, allowed: {before}, as in the run that"):
        make(now).set_state(make(before).get_state())


def test_no_two_groups_of_any_ranks_see_the_same_levels_or_draw_the_same_actions():
    streams = [make(groups=2, rank=rank) for rank in range(3)] + [make(groups=2, rank=0, seed=1)]
    rollouts = [stream.collect() for stream in streams]
    seen = torch.cat([rollout.obs[0].flatten(1) for rollout in rollouts])  # the first board of each env
    assert len(seen.unique(dim=0)) == len(seen) == 4 * 6
    drawn = {tuple(group.generator.get_state().tolist()) for stream in streams for group in stream.groups}
    assert len(drawn) == 4 * 2
    assert group_seed(5, 0, 0) == 5


def test_null_is_two_groups_on_a_gpu_that_can_be_halved():
    spec = RolloutSpec(num_envs=12)
    assert spec.group_sizes(ranks=2, on_gpu=True) == [3, 3]
    assert spec.group_sizes(ranks=4, on_gpu=True) == [3]
    assert spec.group_sizes(ranks=2, on_gpu=False) == [6]
    assert RolloutSpec(num_envs=12, groups=3).group_sizes(ranks=2, on_gpu=True) == [2, 2, 2]


def test_groups_of_unequal_size_are_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _, errors = run_here(monkeypatch, capsys, *TINY, "algo.rollouts.groups=3")
    told = "algo.rollouts.groups: found 3, allowed: a divisor of the 16 envs of a rank, or null"
    assert code == 2 and errors == f"drc_lab: {told}\n" and not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["impala", "ppo", "a2c"])
def test_every_algorithm_learns_with_two_groups(tmp_path, monkeypatch, capsys, algo):
    monkeypatch.chdir(tmp_path)
    words = [
        f"algo={algo}", "env=ricochet_v0", "policy.hidden_channels=16", "policy.num_layers=2",
        "policy.repeats_per_step=2", "algo.rollouts.groups=2", "threads=1", "evaluation.every_frames=50_000",
        f"algo.rollouts.frames={10_000 if algo == 'ppo' else 20_000}", "tracking=[]", "folder=run",
    ]  # fmt: skip
    code, output, errors = run_here(monkeypatch, capsys, *words)
    assert code == 0, errors + output
    policy, config = load_policy(tmp_path / "run/checkpoints/last.ckpt")
    assert evaluate(policy, held_out_env(Settings(config), "valid")).solve_rate >= 0.9

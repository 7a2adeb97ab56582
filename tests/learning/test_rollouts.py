"""The rollout stream: fresh policy, right carry, right alignment, exact resume."""

from itertools import islice

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.errors import ConfigError, Diverged
from drc_lab.learning.rollouts import RolloutSpec, RolloutStream
from drc_lab.models.drc import DRCPolicy

ENV = "drc_lab/RicochetRobots-v0"


def make(seed=0, env_kwargs=None, **spec):
    spec = RolloutSpec(**({"num_envs": 6, "num_steps": 5, "frames": 600} | spec))
    env = gym.make_vec(ENV, num_envs=spec.num_envs, **({"max_steps": 4, "copy": False} | (env_kwargs or {})))
    torch.manual_seed(seed)
    policy = DRCPolicy(env.single_observation_space.shape, int(env.single_action_space.n), 4, 2, 2, proj_dim=8)
    return RolloutStream(spec, [env], policy, seed)


def learned(stream, rollout):
    out, _ = stream.policy.unroll(rollout.obs, rollout.carry, rollout.transitions.resets, rollout.repeats)
    return out.policy_logits[:-1].detach()


def test_the_loss_sees_exactly_the_logits_that_acted_also_after_an_update():
    """Carry, resets, ticks and the freshness of the policy in one: replaying a rollout gives its own logits."""
    stream = make(min_repeats=1, max_repeats=4)
    for number, rollout in enumerate(stream):
        torch.testing.assert_close(learned(stream, rollout), rollout.transitions.behaviour_logits, atol=1e-6, rtol=1e-5)
        with torch.no_grad():
            for parameter in stream.policy.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
        if number == 6:
            return


def test_rollouts_join_without_a_gap():
    stream = make()
    first, second = stream.collect(), stream.collect()
    torch.testing.assert_close(first.obs[-1], second.obs[0])
    torch.testing.assert_close(first.transitions.resets[-1], second.transitions.resets[0])
    _, carry = stream.policy.unroll(first.obs[:-1], first.carry, first.transitions.resets[:-1], first.repeats[:-1])
    torch.testing.assert_close(tree_leaves(carry), tree_leaves(second.carry), atol=1e-6, rtol=1e-5)


def test_resets_mark_the_observation_after_the_step_that_ended_an_episode():
    """One 4x4 board, RIGHT solves: rewards, resets and truncations follow from the actions alone."""
    stream = make(env_kwargs={"layout": "v0", "max_steps": 3}, num_steps=40)
    rollout = stream.collect()
    moves, start = rollout.transitions, torch.from_numpy(gym.make(ENV, layout="v0").reset()[0])
    assert moves.resets[0].all()
    solved = moves.rewards > 0.5
    age = torch.zeros(6, dtype=torch.int64)
    for t in range(40):
        ended = solved[t] | (age == 2)
        torch.testing.assert_close(moves.resets[t + 1], ended)
        torch.testing.assert_close(moves.truncated[t], ended & ~solved[t])
        age = torch.where(ended, 0, age + 1)
    assert all(torch.equal(rollout.obs[t, b], start) for t, b in moves.resets.nonzero().tolist())
    assert len(rollout.episodes.solved) == int(moves.resets[1:].sum())
    assert rollout.episodes.solved.sum() == int(solved.sum())
    np.testing.assert_allclose(
        rollout.episodes.returns[rollout.episodes.solved], 1 - 0.01 * rollout.episodes.lengths[rollout.episodes.solved]
    )


def test_minibatches_split_envs_and_keep_their_carry():
    stream = make(minibatches=3, epochs=2)
    whole = None
    collect = stream.collect

    def remember():
        nonlocal whole
        whole = collect()
        return whole

    stream.collect = remember
    parts = list(islice(stream, 6))
    assert [p.last for p in parts] == [False] * 5 + [True]
    assert [p.obs.shape[1] for p in parts] == [2] * 6
    for half in (parts[:3], parts[3:]):
        actions = torch.cat([p.transitions.actions for p in half], dim=1)
        assert sorted(actions.t().tolist()) == sorted(whole.transitions.actions.t().tolist())
    for part in parts:
        torch.testing.assert_close(learned(stream, part), part.transitions.behaviour_logits, atol=1e-6, rtol=1e-5)


def test_gradients_end_at_the_start_of_a_rollout():
    """The carry is detached between rollouts: the second one's loss reaches nothing of the first."""
    stream = make()
    stream.collect()
    second = stream.collect()
    out, _ = stream.policy.unroll(second.obs, second.carry, second.transitions.resets, second.repeats)
    assert out.value.requires_grad and not any(x.requires_grad for x in tree_leaves(second.carry))


def test_it_has_a_length_and_counts_frames_up_to_whole_rollouts():
    stream = make(frames=100, minibatches=2, epochs=3)
    assert len(stream) == 4 * 6
    frames = [rollout.frames for rollout in stream]
    assert len(frames) == 24 and frames[-1] == 120 and frames[0] == 30


def test_saved_and_loaded_it_goes_on_bit_for_bit():
    stream = make(min_repeats=1, max_repeats=3, minibatches=2)
    iterator = iter(stream)
    for _ in range(6):
        next(iterator)
    state = stream.get_state()
    assert not [x for x in tree_leaves(state) if not isinstance(x, torch.Tensor | int | float | str | bool | None)]
    state = tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, state)
    expected = [next(iterator) for _ in range(4)]
    other = make(seed=0, min_repeats=1, max_repeats=3, minibatches=2)
    other.set_state(state)
    for rollout, again in zip(expected, other, strict=False):
        assert rollout.repeats == again.repeats and rollout.frames == again.frames
        for a, b in zip(tree_leaves(tuple(rollout[:2])), tree_leaves(tuple(again[:2])), strict=True):
            assert torch.equal(a, b)
        for a, b in zip(tree_leaves(rollout.transitions), tree_leaves(again.transitions), strict=True):
            assert a is b is None or torch.equal(a, b)


def test_same_seed_same_rollout_other_seed_another():
    first, again, other = make(0).collect(), make(0).collect(), make(1).collect()
    assert torch.equal(first.transitions.actions, again.transitions.actions) and torch.equal(first.obs, again.obs)
    assert not torch.equal(first.transitions.actions, other.transitions.actions)


def test_ticks_are_drawn_from_their_range():
    stream = make(min_repeats=2, max_repeats=4)
    drawn = [r for _ in range(20) for r in stream.collect().repeats[:-1]]
    assert set(drawn) == {2, 3, 4}
    assert set(make().collect().repeats) == {2}


def test_more_ticks_are_drawn_as_frames_go_by_until_all_are_there():
    stream = make(min_repeats=1, max_repeats=3, growing_frames=300, frames=1800)
    most = [
        max(stream.collect().repeats[:-1]) for _ in range(60)
    ]  # each of 30 frames; the first tick is of the one before
    assert set(most[:3]) == {1} and max(most[:7]) == 2 and set(most[12:]) <= {2, 3} and most[12:].count(3) > 30


@pytest.mark.parametrize(
    ("kwargs", "key"),
    [
        ({"growing_frames": 100}, "growing_frames"),
        ({"num_envs": 0}, "num_envs"),
        ({"minibatches": 4}, "minibatches"),
        ({"min_repeats": 2}, "min_repeats"),
        ({"min_repeats": 3, "max_repeats": 2}, "min_repeats"),
    ],
)
def test_impossible_sizes_name_the_key(kwargs, key):
    with pytest.raises(ConfigError) as error:
        make(**kwargs)
    assert error.value.key == key


@pytest.mark.parametrize("what", ["weight head.policy.bias", "observation", "carry"])
def test_acting_with_what_is_no_number_says_in_one_line_what_it_was(what):
    """The message of torch.multinomial would be about probabilities."""
    stream = make()
    stream.collect()
    if what == "observation":
        stream.groups[0].obs = stream.obs.float().index_fill(0, torch.tensor([2]), torch.nan)
    elif what == "carry":
        tree_map(lambda x: x.fill_(torch.nan), stream.carry)
        stream.resets[:] = False
    else:
        stream.policy.head.policy.bias.data[1] = torch.inf
    kind = "inf" if "bias" in what else "nan"
    with pytest.raises(Diverged, match=f"^{what} is {kind} while acting after 30 frames$"):
        stream.collect()

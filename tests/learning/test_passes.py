"""Passes in training: the env stands still, and for what is learned they are not there."""

from itertools import pairwise

import gymnasium as gym
import numpy as np
import pytest
import torch

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.envs.external.env import GymVectorEnv
from drc_lab.errors import ConfigError
from drc_lab.learning.losses import A2CLoss, PPOLoss, Transitions, VTraceLoss
from drc_lab.learning.rollouts import RolloutSpec, RolloutStream
from drc_lab.models.drc import DRCPolicy

A, T, B = 4, 6, 3


@pytest.mark.parametrize("id", ["drc_lab/Sokoban-v0", "drc_lab/RicochetRobots-v0", "CartPole-v1"])
def test_a_paused_env_is_as_it_was_and_the_others_step(id):
    if id == "CartPole-v1":
        env = GymVectorEnv(id=id, num_envs=3)
    else:
        env = gym.make_vec(id, num_envs=3, max_steps=3)
    first, _ = env.reset(seed=0)
    paused = np.array([True, False, False])
    for step in range(3):
        obs, reward, terminated, truncated, info = env.step(np.array([1, 1, 0]), paused)
        np.testing.assert_array_equal(obs[0], first[0])
        assert reward[0] == 0 and not terminated[0] and not truncated[0]
        assert info["length"][0] == 0 and info["return"][0] == 0
        assert step == 2 or list(info["length"][1:]) == [step + 1] * 2
    obs, *_, info = env.step(np.array([1, 1, 0]))
    assert info["length"][0] == 1


def with_passes(moves, logits, values, at):
    """The same rollout with passes between: at[b] are the rows that they are before, in order."""
    order = [sorted([*range(T), *(row - 0.5 for row in rows)]) for rows in at]
    long = len(order[0])
    rows = torch.tensor([[int(np.ceil(row)) for row in each] for each in order]).T  # (long, B)
    passes = torch.tensor([[row != int(row) for row in each] for each in order]).T
    pick = torch.arange(B)

    def stretched(x):
        return x[rows, pick]

    noise = torch.where(passes, 0.7, 0.0)
    resets = torch.cat([stretched(moves.resets[:-1]), moves.resets[-1:]])
    for b in range(B):  # a pass takes the mark of a new episode from the step that it comes before
        for row in range(long - 1, 0, -1):
            if passes[row - 1, b]:
                resets[row - 1, b] |= resets[row, b]
                resets[row, b] = False
    longer = Transitions(
        stretched(moves.actions),
        torch.where(passes, 0, stretched(moves.rewards)),
        stretched(moves.behaviour_logits),
        resets,
        stretched(moves.truncated) & ~passes,
        torch.cat([stretched(moves.behaviour_values[:-1]) + noise, moves.behaviour_values[-1:]]),
        passes,
    )
    out = torch.cat([stretched(logits[:-1]) + noise[..., None], logits[-1:]])
    return longer, out, torch.cat([stretched(values[:-1]) + noise, values[-1:]])


@pytest.mark.parametrize(
    "loss",
    [
        VTraceLoss(lam=0.7, logit_l2_coef=0.0),
        A2CLoss(lam=0.9, normalize_advantages=True),
        PPOLoss(),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_a_loss_and_its_gradient_are_those_without_the_passes(loss):
    torch.manual_seed(0)
    logits = torch.randn(T + 1, B, A, dtype=torch.float64, requires_grad=True)
    values = torch.randn(T + 1, B, dtype=torch.float64, requires_grad=True)
    resets = torch.zeros(T + 1, B, dtype=torch.bool)
    resets[[0, 3, 4], [0, 1, 2]] = True
    truncated = torch.zeros(T, B, dtype=torch.bool)
    truncated[3, 2] = True
    rewards, acted = torch.randn(T, B, dtype=torch.float64), torch.randn(T, B, A, dtype=torch.float64)
    behaviour = torch.randn(T + 1, B, dtype=torch.float64)
    moves = Transitions(torch.randint(0, A, (T, B)), rewards, acted, resets, truncated, behaviour)
    answers = []
    for at in (None, [[0, 0, 0, 2], [3, 3, 5, 5], [0, 1, 4, 4]]):
        batch, out, value = (moves, logits, values) if at is None else with_passes(moves, logits, values, at)
        total, parts = loss(out, value, batch)
        gradients = torch.autograd.grad(total, [logits, values])
        parts = {name: part for name, part in parts.items() if name in ("total", "policy", "value", "entropy")}
        answers.append((parts, gradients))
    torch.testing.assert_close(answers[1], answers[0])


def stream(**options):
    spec = RolloutSpec(**({"num_envs": 8, "num_steps": 12, "frames": 960} | options))
    torch.manual_seed(0)
    policy = DRCPolicy((8, 5, 5), 8, 4, 1, 1, proj_dim=8)
    noop = spec.noops is not None
    policy = DRCPolicy((8, 5, 5), 8 + noop, 4, 1, 1, proj_dim=8) if noop else policy
    env = gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=8, max_steps=4, noop=noop)
    return RolloutStream(spec, [env], policy, 0)


def test_each_episode_begins_with_as_many_passes_as_were_drawn_and_no_others_come():
    whole = stream(first_passes=[2, 5])
    passes, resets, obs = [], [], []
    for _ in range(10):
        rollout = whole.collect()
        passes.append(rollout.transitions.passes), resets.append(rollout.transitions.resets[:-1])
        obs.append(rollout.obs[:-1])
        assert (rollout.episodes.lengths <= 4).all()
    passes, resets, obs = torch.cat(passes), torch.cat(resets), torch.cat(obs)
    found = []
    for b in range(8):
        starts = [*resets[:, b].nonzero().flatten().tolist(), len(resets)]
        for start, end in pairwise(starts):
            own = passes[start:end, b]
            count = int(own.sum())
            if end < len(resets):
                found.append(count)
                assert own[:count].all(), "they come first"
                assert (obs[start : start + count + 1, b] == obs[start, b]).all(), "on the first observation"
    assert set(found) == {2, 3, 4, 5}
    assert not passes[resets].logical_not().any()


def test_later_passes_come_before_some_later_steps():
    passes, resets = [], []
    whole = stream(later_passes=[1, 1], later_chance=0.5)
    for _ in range(10):
        rollout = whole.collect()
        passes.append(rollout.transitions.passes), resets.append(rollout.transitions.resets[:-1])
    passes, resets = torch.cat(passes), torch.cat(resets)
    assert not passes[resets].any(), "none on first observations"
    assert not (passes[1:] & passes[:-1]).any(), "one at a time"
    assert 0.2 < passes[~resets].float().mean() < 0.45  # of steps and passes, where half of the steps have one


def test_a_stream_goes_on_with_the_passes_that_were_drawn():
    options = {"first_passes": [0, 6], "later_passes": [0, 2], "later_chance": 0.3, "noops": [0, 2]}
    whole, cut = stream(**options), stream(**options)
    for _ in range(2):
        whole.collect(), cut.collect()
    other = stream(**options)
    other.set_state(cut.get_state())
    for _ in range(3):
        for got, expected in zip(other.collect().transitions, whole.collect().transitions, strict=True):
            assert got is expected is None or torch.equal(got, expected)


def test_noops_come_after_the_passes_are_steps_of_the_env_and_count_for_no_loss():
    """Two passes, then three no-ops, then the one step that the limit of four leaves to the policy."""
    whole = stream(first_passes=[2, 2], noops=[3, 3])
    for _ in range(3):
        rollout = whole.collect()
        moves = rollout.transitions
        assert (rollout.episodes.lengths == 4).all()
        starts = moves.resets[:-1].nonzero()
        assert len(starts) and (moves.passes.float().mean() - 5 / 6).abs() < 0.1
        for t, b in starts.tolist():
            told = moves.passes[t : t + 6, b]
            assert told[:5].all() and not told[5:].any()
            seen = rollout.obs[t : t + min(6, len(told)), b]
            assert (seen == seen[0]).all(), "the board stays until the policy moves"


def test_an_episode_that_a_noop_ends_is_truncated_by_it_and_counts_as_a_step():
    """Or what comes before it would be told to lead to the next level."""
    whole = stream(noops=[9, 9])
    moves = whole.collect().transitions
    ends = moves.resets[1:]
    assert ends.sum() == 3 * 8 and (moves.truncated == ends).all()
    assert (moves.passes == ~ends).all()


def test_an_env_that_cannot_wait_is_refused_noops():
    spec = RolloutSpec(num_envs=2, noops=[0, 1])
    with pytest.raises(
        ConfigError, match=r"noops: found \[0, 1\], allowed: null, as the env has no action that does no"
    ):
        RolloutStream(spec, [gym.make_vec("drc_lab/Sokoban-v0", num_envs=2)], DRCPolicy((3, 7, 7), 4, 4, 1, 1), 0)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"first_passes": [3, 1]}, r"first_passes: found \[3, 1\], allowed: \[low, high\] of at least 0, or null"),
        ({"first_passes": [1]}, r"first_passes: found \[1\]"),
        ({"later_passes": [0, 2]}, "later_chance: found 0.0, allowed: more than 0 with later_passes, 0 without"),
        ({"later_chance": 0.5}, "later_chance: found 0.5"),
        ({"noops": [-1, 1]}, r"noops: found \[-1, 1\], allowed: \[low, high\] of at least 0, or null"),
    ],
)
def test_impossible_passes_are_refused(options, line):
    with pytest.raises(ConfigError, match=line):
        RolloutSpec(**options)

"""Evaluation: thinking by hand on a stub policy, compaction, and no trace left in the training around it."""

import gymnasium as gym
import numpy as np
import pytest
import torch

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.evaluation.evaluator import Thinking, evaluate
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.policy import Policy, PolicyValue
from drc_lab.models.random import RandomPolicy

ENV = "drc_lab/RicochetRobots-v0"


class Counting(Policy):
    """Counts its ticks in the carry. Takes RIGHT once it has had enough of them, LEFT before."""

    repeats_per_step = 3

    def __init__(self, enough: int):
        super().__init__()
        self.enough = enough
        self.unused = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[int, int]] = []

    def init_state(self, batch, H=None, W=None, device=None, dtype=None):
        return torch.zeros(batch)

    def unroll(self, obs, state, resets, repeats=None):
        (ticks,) = self.repeats_of(repeats, 1)
        state = state + ticks
        self.seen.append((len(state), ticks))
        logits = torch.zeros(1, len(state), 4)
        logits[0, :, 3] = (state >= self.enough).float() * 2 - 1
        logits[0, :, 2] = 0.5
        return PolicyValue(logits, torch.zeros(1, len(state), 1)), state


def v0(n=1, **kwargs):
    return gym.make_vec(ENV, num_envs=n, layout="v0", copy=False, **kwargs)


@pytest.mark.parametrize(
    ("thinking", "enough", "length", "calls"),
    [
        (Thinking(), 3, 1, 1),  # one step's own three ticks
        (Thinking(), 4, 2, 2),  # the second step's are needed
        (Thinking(passes=1), 4, 1, 2),  # an extra pass instead of a wasted step
        (Thinking(passes=4), 15, 1, 5),  # 4 extra + 1 acting pass of 3 ticks
        (Thinking(passes=4), 16, 2, 6),
        (Thinking(repeats=12), 12, 1, 1),
        (Thinking(passes=2, repeats=5), 15, 1, 3),
    ],
)
def test_thinking_takes_ticks_and_never_steps(thinking, enough, length, calls):
    policy = Counting(enough)
    episodes = evaluate(policy, v0(), thinking)
    assert episodes.solved.all() and episodes.length.tolist() == [length]
    assert policy.seen == [(1, thinking.repeats or 3)] * calls


def test_first_passes_take_nothing_off_the_step_limit():
    assert evaluate(Counting(31), v0(max_steps=1), Thinking(passes=10)).solved.all()
    assert not evaluate(Counting(31), v0(max_steps=1), Thinking(passes=9)).solved.any()
    assert evaluate(Counting(31), v0(max_steps=2), Thinking(passes=9)).solved.all()


def test_finished_boards_drop_out_of_the_forward_pass():
    policy = Counting(1)
    evaluate(policy, gym.make_vec(ENV, num_envs=4, layout="v1", max_steps=3, order="sequential"), chunk=3)
    # v1: up, down, left, right. RIGHT at once solves one board of four, LEFT none here; chunks of 3 and 1.
    assert policy.seen == [(3, 3), (1, 3), (3, 3), (3, 3)]


def test_chunks_change_nothing():
    env = gym.make_vec(ENV, num_envs=50, num_levels=50, order="sequential", max_steps=8, copy=False)
    policy = DRCPolicy(env.single_observation_space.shape, 8, 4, 2, 2, proj_dim=8, head_init="orthogonal")
    whole, parts = evaluate(policy, env, chunk=50), evaluate(policy, env, chunk=7)
    for name in ("level", "solved", "length", "returns", "optimal"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    assert whole.level.tolist() == list(range(50)) and whole.optimal.min() >= 1


def test_it_equals_playing_each_level_alone_with_the_carry():
    settings = {"num_levels": 12, "order": "sequential", "max_steps": 6}
    env = gym.make_vec(ENV, num_envs=12, **settings)
    policy = DRCPolicy(env.single_observation_space.shape, 8, 4, 2, 2, proj_dim=8, head_init="orthogonal")
    episodes = evaluate(policy, env, Thinking(passes=2))
    single = gym.make(ENV, **settings)
    obs, _ = single.reset(seed=0)
    for level in range(12):
        carry, done, total, steps = None, False, 0.0, 0
        with torch.no_grad():
            for _ in range(2):
                _, carry = policy(torch.from_numpy(obs)[None], carry)
            while not done:
                out, carry = policy(torch.from_numpy(obs)[None], carry)
                obs, reward, terminated, truncated, _ = single.step(int(out.policy_logits.argmax()))
                done, total, steps = terminated or truncated, total + reward, steps + 1
        assert (terminated, steps) == (episodes.solved[level], episodes.length[level])
        assert total == pytest.approx(episodes.returns[level])
        obs, _ = single.reset()


def test_the_random_policy_is_uniform():
    env = gym.make_vec(ENV, num_envs=2000, layout="v0", max_steps=1)
    control = RandomPolicy(env.single_observation_space.shape, 4)
    assert evaluate(control, env, greedy=False).solve_rate == pytest.approx(0.25, abs=0.03)


def test_evaluation_draws_no_number_that_training_uses():
    env, before = v0(3), torch.get_rng_state()
    evaluate(RandomPolicy((7, 4, 4), 4), env, greedy=False)
    assert torch.equal(before, torch.get_rng_state())


def test_summary_by_hand():
    episodes = evaluate(Counting(4), v0())
    assert episodes.summary() == {
        "solve_rate": 1.0,
        "return": pytest.approx(1 - 0.02),
        "length": 2.0,
        "optimality_gap": 1.0,
    }

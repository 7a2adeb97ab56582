"""Evaluation: thinking by hand on a stub policy, compaction, and no trace left in the training around it."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from counting import ENV, Counting

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.errors import ConfigError
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.evaluation.watchers.watcher import Watcher
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.policy import PolicyValue
from drc_lab.models.random import RandomPolicy


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
        (Thinking(passes=2, at=1), 6, 2, 4),  # 3 ticks, a wasted step, 2 extra passes and the acting one
        (Thinking(passes=2, at=1), 12, 2, 4),
        (Thinking(passes=2, at=1), 13, 3, 5),
        (Thinking(passes=2, at=5), 6, 2, 2),  # solved before its time
        (Thinking(passes=2, at=-1), 6, 2, 2),  # never
        (Thinking(passes=1, every_step=True), 12, 2, 4),  # an extra pass before each of two steps
    ],
)
def test_thinking_takes_ticks_and_never_steps(thinking, enough, length, calls):
    policy = Counting(enough)
    episodes = evaluate(policy, v0(), thinking)
    assert episodes.solved.all() and episodes.length.tolist() == [length]
    assert policy.seen == [(1, thinking.repeats or 3)] * calls
    assert episodes.ticks.tolist() == [calls * (thinking.repeats or 3)]
    assert episodes.passes.tolist() == [calls - length]


def test_no_ops_are_steps_that_use_up_the_limit_while_the_policy_watches():
    policy = Counting(9)  # right at its third pass
    episodes = evaluate(policy, v0(noop=True), Thinking(noops=2))
    assert episodes.length.tolist() == [3] and policy.seen == [(1, 3)] * 3
    assert episodes.returns.tolist() == [pytest.approx(1 - 0.03)] and episodes.passes.tolist() == [0]
    assert not evaluate(Counting(9), v0(noop=True, max_steps=2), Thinking(noops=2)).solved.any()
    assert evaluate(Counting(1), v0(noop=True), Thinking(noops=2)).length.tolist() == [3]  # it would be right at once
    assert evaluate(Counting(4), v0(noop=True), Thinking(noops=2, at=1)).length.tolist() == [
        4
    ]  # left, two no-ops, right
    with pytest.raises(ConfigError, match="noops: found 2"):
        evaluate(Counting(9), v0(), Thinking(noops=2))


def test_each_level_can_have_its_own_thinking_at_its_own_step():
    class Steps(Watcher):
        def __init__(self):
            self.passes = []

        def thought(self, envs, out):
            self.passes.append(envs.tolist())

    steps, policy = Steps(), Counting(100)
    env = v0(4, max_steps=3)
    thinking = Thinking(passes=np.array([2, 0, 1, 3]), at=np.array([0, 0, 1, 0]))
    episodes = evaluate(policy, env, thinking, watchers=[steps])
    assert steps.passes == [[0, 3], [0, 3], [3], [2]]
    assert episodes.passes.tolist() == [2, 0, 1, 3] and episodes.ticks.tolist() == [15, 9, 12, 18]


class Wavering(Counting):
    """A policy that makes up its mind: its logits move by half as much with every tick."""

    def unroll(self, obs, state, resets, repeats=None):
        (ticks,) = self.repeats_of(repeats, 1)
        state = state + ticks
        self.seen.append((len(state), ticks))
        logits = torch.zeros(1, len(state), 4)
        logits[0, :, 3] = 2 - 0.5 ** state.clamp(max=self.enough)
        return PolicyValue(logits, torch.zeros(1, len(state), 1)), state


def test_adaptive_thinking_stops_when_successive_ticks_agree_or_at_the_most():
    def kl(new, old):
        p, q = (torch.tensor([0, 0, 0, 2 - 0.5**n]).double().log_softmax(-1) for n in (new, old))
        return float((p.exp() * (p - q)).sum())

    divergences = [kl(n, n - 1) for n in range(2, 12)]
    assert divergences == sorted(divergences, reverse=True)
    for needed in (2, 4, 7):  # ticks until the divergence from the one before is below the threshold
        agree = (divergences[needed - 2] + (divergences[needed - 3] if needed > 2 else 1)) / 2
        thinking = Thinking(passes=20, pass_ticks=1, agree=agree)
        episodes = evaluate(Wavering(30), v0(3), thinking)
        assert episodes.passes.tolist() == [needed] * 3 and episodes.ticks.tolist() == [needed + 3] * 3
        assert evaluate(Wavering(30), v0(), Thinking(passes=1, pass_ticks=1, agree=agree)).passes.tolist() == [1]
    assert evaluate(Wavering(30), v0(), Thinking(passes=20, pass_ticks=1, agree=0)).passes.tolist() == [20]


def test_adaptive_thinking_is_each_levels_own_and_equals_as_many_fixed_passes():
    env = gym.make_vec(ENV, num_envs=40, num_levels=40, order="sequential", max_steps=6, copy=False)
    policy = DRCPolicy(env.single_observation_space.shape, 8, 4, 1, 1, proj_dim=8, head_init="orthogonal")
    adaptive = evaluate(policy, env, Thinking(passes=12, pass_ticks=1, agree=1e-5), chunk=16)
    assert len(set(adaptive.passes.tolist())) > 2
    fixed = evaluate(policy, env, Thinking(passes=adaptive.passes), chunk=16)
    for name in ("solved", "length", "returns", "passes"):
        np.testing.assert_array_equal(getattr(adaptive, name), getattr(fixed, name))


def test_levels_are_the_same_whichever_batch_they_are_played_in():
    settings = {"num_levels": 50, "order": "sequential", "max_steps": 8, "copy": False}
    env = gym.make_vec(ENV, num_envs=50, **settings)
    policy = DRCPolicy(env.single_observation_space.shape, 8, 4, 2, 2, proj_dim=8, head_init="orthogonal")
    whole = evaluate(policy, env)
    few = gym.make_vec(ENV, num_envs=20, **settings)
    parts = [evaluate(policy, few, levels=range(start, min(50, start + 20))) for start in (0, 20, 40)]
    assert [len(part.level) for part in parts] == [20, 20, 10]
    for name in ("level", "solved", "length", "returns", "optimal", "ticks"):
        np.testing.assert_array_equal(getattr(whole, name), np.concatenate([getattr(part, name) for part in parts]))


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

"""The trace of single ticks on the first observation, on a policy whose thoughts are written down."""

import math

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.errors import ConfigError
from drc_lab.evaluation.measures.trace import trace, trace_findings
from drc_lab.models.cnn import SmallCNNPolicy
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.policy import Policy, PolicyValue

LEFT, RIGHT = 2, 3


class Slow(Policy):
    """Prefers LEFT 3 to 1 to each other action at its first two ticks, and then RIGHT 5 to 1; its value is the tick."""

    repeats_per_step = 3

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def init_state(self, batch, H=None, W=None, device=None, dtype=None):
        return torch.zeros(batch)

    def unroll(self, obs, state, resets, repeats=None):
        (ticks,) = self.repeats_of(repeats, 1)
        state = state + ticks
        logits = torch.zeros(1, len(state), 4)
        action = torch.where(state <= 2, LEFT, RIGHT)
        logits[0, torch.arange(len(state)), action] = torch.where(state <= 2, 3.0, 5.0).log()
        return PolicyValue(logits, state[None, :, None]), state


def layouts(name, n):
    return gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=n, layout=name, order="sequential", autoreset=False)


def test_each_tick_is_one_and_goes_on_from_the_one_before():
    found = trace(Slow(), layouts("v0", 1), 1, 4, solver_levels=1)
    assert found.value.tolist() == [[1, 2, 3, 4]] and found.carries
    assert found.action.tolist() == [[LEFT, LEFT, RIGHT, RIGHT]]
    assert found.first_move.tolist() == [[0, 0, 1, 1]]  # v0 takes one RIGHT
    before, after = math.log(2) / 2 + math.log(6) / 2, 5 / 8 * math.log(8 / 5) + 3 / 8 * math.log(8)
    np.testing.assert_allclose(found.entropy, [[before, before, after, after]], rtol=1e-6)
    assert np.isnan(found.kl[0, 0]) and found.kl[0, [1, 3]].tolist() == [0, 0]
    assert found.kl[0, 2] == pytest.approx(
        5 / 8 * math.log(15 / 4) + math.log(1 / 4) / 8 + math.log(3 / 4) / 4, rel=1e-5
    )


def test_batches_of_levels_change_nothing_and_only_some_are_solved():
    settings = {"num_levels": 10, "order": "sequential", "autoreset": False}
    policy, traces = None, []
    for n in (10, 4):
        env = gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=n, **settings)
        policy = policy or DRCPolicy(env.single_observation_space.shape, 8, 4, 2, 2, proj_dim=8).eval()
        traces.append(trace(policy, env, 10, 5, solver_levels=6, chunk=3 if n == 10 else 512))
    whole, parts = traces
    assert whole.level.tolist() == list(range(10))
    for name in ("level", "optimal", "action", "first_move"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    np.testing.assert_allclose(whole.entropy, parts.entropy, rtol=1e-5)
    assert not np.isnan(whole.first_move[:6]).any() and np.isnan(whole.first_move[6:]).all()


def test_single_ticks_add_up_to_passes_of_the_policy():
    env = gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=5, num_levels=5, order="sequential", autoreset=False)
    policy = DRCPolicy(env.single_observation_space.shape, 8, 4, 2, 3, proj_dim=8, head_init="orthogonal").eval()
    found = trace(policy, env, 5, 6)
    obs, _ = env.reset(seed=0)
    carry = None
    with torch.no_grad():
        for tick in (2, 5):
            out, carry = policy(torch.from_numpy(obs), carry)
            np.testing.assert_allclose(found.value[:, tick], out.value[:, 0], rtol=1e-4, atol=1e-6)


def test_a_policy_without_a_carry_says_the_same_at_all_ticks():
    env = layouts("v1", 4)
    found = trace(SmallCNNPolicy(env.single_observation_space.shape, 4).eval(), env, 4, 3)
    assert not found.carries and (found.kl[:, 1:] == 0).all() and (found.value == found.value[:, :1]).all()
    baseline = pd.DataFrame({"level": range(4), "solved": [True, False, False, False]})
    assert "no carry" in trace_findings(found, baseline)[0].text


def test_more_ticks_than_fit_into_memory_are_refused_before_they_begin():
    with pytest.raises(ConfigError, match=r"trace_ticks: found 1000000000000000, allowed: up to [\d,]+"):
        trace(Slow(), layouts("v1", 4), 4, 10**15)


def test_findings_are_means_over_levels_and_groups_of_them():
    found = trace(Slow(), layouts("v1", 4), 4, 4, solver_levels=4)
    baseline = pd.DataFrame({"level": range(4), "solved": [False, False, True, True]})
    made = {finding.name: finding for finding in trace_findings(found, baseline)}
    assert list(made) == ["trace", "trace_entropy", "trace_value", "trace_kl", "trace_changed", "trace_first_move"]
    moves = made["trace_first_move"].table
    # v1: up, down, left, right, in turn; the last two were solved.
    assert list(moves.columns) == ["tick", "all", "low", "high", "solved", "not solved"]
    assert moves["all"].tolist() == [0.25] * 4 and moves["solved"].tolist() == [0.5] * 4
    assert made["trace_changed"].table["all"].tolist()[1:] == [0, 1, 0]
    assert made["trace"].table["tick"].tolist() == [1, 2, 3] and made["trace"].table["value"].tolist() == [1, 2, 3]
    for finding in list(made.values())[1:]:
        axes = Figure().subplots()
        finding.draw(axes)
        assert len(axes.lines) == 3


def test_levels_are_parted_by_optimal_length_in_thirds():
    env = gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=90, num_levels=90, order="sequential", autoreset=False)
    found = trace(SmallCNNPolicy(env.single_observation_space.shape, 8).eval(), env, 90, 1)
    baseline = pd.DataFrame({"level": range(90), "solved": True})
    table = trace_findings(found, baseline)[1].table
    groups = [name.split()[1::2] for name in table.columns if name.startswith("optimum")]
    assert len(groups) in (2, 3)
    assert (int(groups[0][0]), int(groups[-1][-1])) == (found.optimal.min(), found.optimal.max())

"""What thinking costs in training: its price by hand, what is logged of it, and that it is learned."""

import gymnasium as gym
import numpy as np
import pytest
import torch

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.errors import ConfigError
from drc_lab.learning.rollouts import RolloutSpec, RolloutStream
from drc_lab.models.drc import DRCPolicy


def stream(think_price, thinks=2, **options):
    spec = RolloutSpec(num_envs=8, num_steps=12, frames=960, think_price=think_price, **options)
    torch.manual_seed(0)
    policy = DRCPolicy((8, 5, 5), 8 + (thinks is not None), 4, 1, 1, proj_dim=8)
    env = gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=8, max_steps=4, thinks=thinks)
    return RolloutStream(spec, [env], policy, 0)


def test_each_think_costs_the_price_of_its_own_ticks_and_nothing_else_changes():
    ticks = {"min_repeats": 1, "max_repeats": 4}
    free, dear = stream(0.0, **ticks), stream(0.25, **ticks)
    charged = 0
    for _ in range(4):
        a, b = free.collect(), dear.collect()
        assert a.repeats == b.repeats and torch.equal(a.transitions.actions, b.transitions.actions)
        thinks = a.transitions.actions == 8
        price = 0.25 * torch.tensor(a.repeats[:-1])[:, None] * thinks
        torch.testing.assert_close(b.transitions.rewards, a.transitions.rewards - price)
        np.testing.assert_array_equal(a.episodes.returns, b.episodes.returns)  # the game's own
        charged += int(thinks.sum())
    assert charged > 20


def test_a_pass_that_was_drawn_costs_nothing():
    a, b = stream(0.0, first_passes=[1, 3]).collect(), stream(1.0, first_passes=[1, 3]).collect()
    thinks = (a.transitions.actions == 8) & ~a.transitions.passes
    assert (a.transitions.passes & (a.transitions.actions == 8)).any() and thinks.any()
    torch.testing.assert_close(b.transitions.rewards, a.transitions.rewards - thinks.float())


def test_ended_episodes_say_how_often_they_thought():
    whole = stream(0.0)
    thinks, ends, found = [], [], []
    for _ in range(5):
        rollout = whole.collect()
        thinks.append(rollout.transitions.actions == 8), ends.append(rollout.transitions.resets[1:])
        found.append(rollout.episodes.thinks)
    thinks, ends, counts = torch.cat(thinks), torch.cat(ends), []
    since = torch.zeros(8, dtype=torch.int64)
    for t in range(len(thinks)):
        since += thinks[t]
        counts += since[ends[t]].tolist()
        since[ends[t]] = 0
    assert np.concatenate(found).tolist() == counts and max(counts) > 2
    assert len(stream(0.0, thinks=None).collect().episodes.thinks) == 0


def test_a_stream_goes_on_amid_thinking():
    whole, cut, other = (stream(0.1) for _ in range(3))
    whole.collect(), cut.collect()
    other.set_state(cut.get_state())
    for _ in range(3):
        for got, expected in zip(other.collect().transitions, whole.collect().transitions, strict=True):
            assert got is expected is None or torch.equal(got, expected)


def test_a_price_that_cannot_be_is_refused():
    with pytest.raises(ConfigError, match=r"think_price: found -0.1, allowed: at least 0"):
        RolloutSpec(think_price=-0.1)
    with pytest.raises(ConfigError, match=r"think_price: found 0.1, allowed: 0, as the env has no action that thinks"):
        stream(0.1, thinks=None)

"""Cycles by hand: what counts as one, where it starts, and thinking in its place."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from counting import Counting

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.evaluation.kinds.first_passes import BASELINE
from drc_lab.evaluation.kinds.in_cycles import CycleNoops, CyclePasses
from drc_lab.evaluation.kinds.kind import Setting
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.evaluation.play.played import play
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.evaluation.watchers.cycles import NONE, Cycles
from drc_lab.models.policy import PolicyValue

UP, DOWN, LEFT, RIGHT, NOOP = range(5)
ROOM = """
+--+--+--+
|  |     |
+  +  +  +
|  |     |
+  +  +  +
| a|A    |
+--+--+--+
"""


class Scripted(Counting):
    """Plays actions by the number of passes so far: the carry counts them."""

    repeats_per_step = 1

    def __init__(self, script):
        super().__init__(0)
        self.script = torch.tensor(script)

    def unroll(self, obs, state, resets, repeats=None):
        (ticks,) = self.repeats_of(repeats, 1)
        actions = self.script[(state.long() % len(self.script))]
        logits = torch.nn.functional.one_hot(actions, 5).float()[None]
        return PolicyValue(logits, torch.zeros(1, len(state), 1)), state + ticks


def board(max_steps, **kwargs):
    """One robot that can reach the corners of a closed 3x2 room, and never its goal."""
    return gym.make_vec("drc_lab/RicochetRobots-v0", board=ROOM, max_steps=max_steps, noop=True, **kwargs)


@pytest.mark.parametrize(
    ("script", "cycles"),
    [
        ([UP, RIGHT, DOWN], (0, 0, NONE, 0)),  # three corners
        ([UP, RIGHT, DOWN, LEFT, UP], (1, 4, 0, 4)),  # round the room
        ([RIGHT, LEFT, RIGHT, LEFT], (2, 4, 0, 2)),  # there and back, twice
        ([UP, UP, RIGHT], (1, 1, 1, 1)),  # against the wall
        ([UP, UP, UP, UP], (3, 3, 1, 1)),
        ([NOOP, UP], (1, 1, 0, 1)),  # doing nothing of its own accord
    ],
)
def test_cycles_by_hand(script, cycles):
    watcher = Cycles()
    evaluate(Scripted(script), board(len(script)), watchers=[watcher])
    found = [int(x[0]) for x in (watcher.count, watcher.steps, watcher.start, watcher.length)]
    assert found == list(cycles)


@pytest.mark.parametrize(("then", "cycles"), [(RIGHT, (0, 0)), (DOWN, (1, 4)), (UP, (1, 1))])
def test_waiting_on_command_is_no_cycle_but_may_be_in_one(then, cycles):
    watcher = Cycles()
    evaluate(Scripted([UP, LEFT, LEFT, then]), board(4), Thinking(noops=2, at=1), watchers=[watcher])
    assert (watcher.count[0], watcher.steps[0]) == cycles


def test_thinking_comes_where_the_first_cycle_begins_as_long_as_it():
    """RIGHT, LEFT is a cycle of 2 from step 0 on; after two passes there the script goes UP, RIGHT, DOWN instead."""
    script = [RIGHT, LEFT, UP, RIGHT, DOWN, LEFT]
    settings = [BASELINE, Setting(CyclePasses(), 1), Setting(CyclePasses(), 0.5), Setting(CycleNoops(), 1)]
    plain, passes, half, noops = play(Scripted(script), board(5), settings)
    assert plain.columns["cycle_start"].tolist() == [0] and plain.columns["cycle_length"].tolist() == [2]
    assert passes.episodes.passes.tolist() == [2] and noops.episodes.passes.tolist() == [0]
    assert half.episodes.passes.tolist() == [1]
    assert passes.columns["cycles"].tolist() == [1] and passes.columns["cycle_start"].tolist() == [0]
    assert noops.columns["cycles"].tolist() == [0]  # the same way, but two of five steps went by waiting
    assert passes.episodes.length.tolist() == noops.episodes.length.tolist() == [5]


def test_episodes_without_a_cycle_are_left_as_they_are():
    plain, passes, noops = play(
        Scripted([UP, RIGHT, DOWN]), board(3), [BASELINE, Setting(CyclePasses(), 2), Setting(CycleNoops(), 2)]
    )
    for played in (passes, noops):
        assert played.episodes.passes.tolist() == [0] and played.episodes.returns == plain.episodes.returns


def test_two_levels_have_each_their_own_cycle():
    env = gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=4, layout="v1", order="sequential", max_steps=4, noop=True)
    watcher, policy = Cycles(), Scripted([LEFT, LEFT, RIGHT, LEFT])
    evaluate(policy, env, watchers=[watcher])
    alone = []
    for level in range(4):
        one = Cycles()
        single = gym.make_vec(
            "drc_lab/RicochetRobots-v0", num_envs=1, layout="v1", order="sequential", max_steps=4, noop=True
        )
        evaluate(policy, single, watchers=[one], levels=range(level, level + 1))
        alone.append(one.columns())
    for name, values in watcher.columns().items():
        np.testing.assert_array_equal(values, np.concatenate([columns[name] for columns in alone]))
    assert len(set(watcher.steps.tolist())) > 1

"""Thinking at will: counted, told from moves, and compared with fixed and drawn amounts, by hand-built policies."""

import math

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
import torch
from counting import Counting
from hand_records import records
from no_thinking import thinking

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.errors import ConfigError
from drc_lab.evaluation.kinds.at_equal_compute import (
    DRAWN_PASSES,
    FIXED_PASSES,
    DrawnPasses,
    FixedPasses,
)
from drc_lab.evaluation.kinds.controls import NeverThinks
from drc_lab.evaluation.kinds.first_passes import BASELINE
from drc_lab.evaluation.kinds.kind import Setting
from drc_lab.evaluation.kinds.registry import kind_named
from drc_lab.evaluation.measures.agreement import Agreement
from drc_lab.evaluation.measures.compute import played_at
from drc_lab.evaluation.measures.learned import Decisions, by_move, by_optimal, learned_findings, thinks_findings
from drc_lab.evaluation.measures.over_frames import metrics_at
from drc_lab.evaluation.measures.shipped import Thinks
from drc_lab.evaluation.measures.table import table
from drc_lab.evaluation.measures.trace import trace
from drc_lab.evaluation.play.choices import never, sampled
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.evaluation.play.played import play
from drc_lab.evaluation.play.sweep import sweep
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.evaluation.watchers.cycles import Cycles
from drc_lab.models.policy import PolicyValue
from drc_lab.models.random import RandomPolicy

LEFT, RIGHT = 2, 3


class Thinker(Counting):
    """Thinks until it has had enough ticks, then goes RIGHT; where it may not think, LEFT until then. It knows of four
    moves and the think."""

    def unroll(self, obs, state, resets, repeats=None):
        (ticks,) = self.repeats_of(repeats, 1)
        state = state + ticks
        ready = (state >= self.enough).float()
        logits = torch.zeros(1, len(state), 5)
        logits[0, :, LEFT], logits[0, :, RIGHT], logits[0, :, 4] = 0.5, 2 * ready - 1, 1 - ready
        return PolicyValue(logits, torch.zeros(1, len(state), 1)), state


CONTROLS = ["random", "sampled", "no_memory", "distance", "never_thinks", "no_memory_passes"]


def at_equal_compute(passes):
    return [Setting(FixedPasses(), n) for n in passes] + [Setting(DrawnPasses(), 1)]


def v0(n=1, **options):
    """The board that a single RIGHT solves."""
    settings = {"thinks": 5, "max_steps": 2, "noop": True, "autoreset": False, "order": "sequential"} | options
    return gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=n, layout="v0", **settings)


@pytest.mark.parametrize("noop", [True, False])
@pytest.mark.parametrize(
    ("free", "enough", "thinks", "moves", "length", "solved"),
    [
        (5, 3, 0, 1, 1, True),
        (5, 9, 2, 1, 1, True),
        (1, 9, 2, 1, 2, True),
        (0, 9, 2, 0, 2, False),
        (1, 99, 3, 0, 2, False),
    ],
)
def test_thinks_are_ticks_and_no_moves(noop, free, enough, thinks, moves, length, solved):
    """Three ticks a pass, two steps at most; also where the env's no-op is between the policy's moves and the think."""
    episodes = evaluate(Thinker(enough), v0(thinks=free, noop=noop))
    assert (episodes.thinks, episodes.moves, episodes.length, episodes.solved) == (thinks, moves, length, solved)
    assert episodes.ticks == 3 * (thinks + moves) and episodes.passes == 0
    assert episodes.summary()["thinks"] == thinks
    assert "thinks" not in evaluate(Counting(3), v0(thinks=None)).summary()


def test_where_it_may_not_think_it_takes_the_best_other_action():
    policy, choose = NeverThinks().player(Thinker(6), v0(), 0)
    episodes = evaluate(policy, v0(), choose=choose)
    assert (episodes.thinks, episodes.moves, episodes.solved) == (0, 2, True)  # LEFT, then RIGHT
    assert evaluate(Thinker(7), v0(), Thinking(passes=1), choose=choose).moves == 2
    assert evaluate(Thinker(6), v0(), Thinking(passes=1), choose=choose).moves == 1


@pytest.mark.parametrize("name", ["random", "distance"])
def test_who_plays_instead_never_thinks(name):
    env = gym.make_vec("drc_lab/Sokoban-v0", num_envs=50, max_steps=6, thinks=2, noop=True, autoreset=False)
    player, choose = kind_named(name).player(RandomPolicy((3, 7, 7), 5), env, 0)
    decisions = Decisions(env.think_action)
    episodes = evaluate(player, env, choose=choose, watchers=[decisions])
    assert episodes.thinks.sum() == 0 and set("".join(decisions.columns()["decisions"])) == {"."}
    assert evaluate(RandomPolicy((3, 7, 7), 5), env, choose=sampled(0)).thinks.sum() > 0


def test_a_random_player_is_uniform_over_the_games_own_actions():
    choose = never(4, sampled(0))
    counts = torch.bincount(choose(torch.zeros(20_000, 5), torch.arange(20_000)), minlength=5)
    assert counts[4] == 0 and (counts[:4] - 5000).abs().max() < 4 * math.sqrt(20_000 * 0.25 * 0.75)


def test_a_think_is_no_cycle_and_no_worse_move():
    env, cycles = v0(), Cycles()
    evaluate(Thinker(9), env, watchers=[cycles])
    assert cycles.count.tolist() == [0]
    env = v0()
    judged = Agreement(env, 1, 1000)
    evaluate(Thinker(9), env, watchers=[judged])
    assert {name: column[0] for name, column in judged.columns().items()} == {
        "judged_moves": 1,
        "optimal_moves": 1,
        "lost_at": -1,
        "verdicts": "??+",
    }


def test_a_traced_think_is_no_first_move():
    traced = trace(Thinker(3), v0(), 1, 4, solver_levels=1)
    assert traced.action[0].tolist() == [5, 5, RIGHT, RIGHT]  # as the env counts, which has a no-op
    np.testing.assert_array_equal(traced.first_move[0], [np.nan, np.nan, 1, 1])
    assert np.isfinite(traced.entropy).all() and np.isfinite(traced.kl[:, 1:]).all()


def test_of_a_policy_that_only_thinks_as_many_passes_are_drawn_as_an_episode_has_thinks():
    """And not those of all levels together, before every step of each."""
    env = v0(3, thinks=2)
    settings = [BASELINE, *at_equal_compute([0])]
    plain, _, drawn = play(Thinker(10**6), env, settings)
    assert plain.episodes.thinks.tolist() == [4, 4, 4] and plain.episodes.moves.sum() == 0
    assert drawn.setting.kind.thinking(1, plain) == Thinking(drawn=4.0)


def test_drawn_passes_have_their_mean_and_come_from_the_seed_alone():
    policy, env = RandomPolicy((7, 4, 4), 4), v0(400, thinks=None, noop=False, max_steps=20)

    def passes(seed, chunk=None):
        return evaluate(
            policy, env, Thinking(drawn=1.5), seed=seed, chunk=chunk, choose=lambda logits, _: logits.argmax(-1)
        )

    first = passes(0)
    np.testing.assert_array_equal(first.passes, passes(0, chunk=7).passes)
    assert (first.passes != passes(1).passes).any()
    n = first.length.sum()
    assert first.passes.sum() / n == pytest.approx(1.5, abs=4 * math.sqrt(1.5 * 2.5 / n))  # a geometric's variance


def test_the_settings_at_equal_compute_are_there_with_the_action_and_only_then():
    keys = {"first_passes": [4], "controls": None}
    names = [setting.name for setting in thinking(**keys).settings(Thinker(9), v0())]
    at_equal_compute = ["fixed_passes=0", "fixed_passes=4", "drawn_passes=1"]
    assert names == ["first_passes=0", "first_passes=4", *at_equal_compute, *CONTROLS]
    without = [setting.name for setting in thinking(**keys).settings(Counting(9), v0(thinks=None))]
    assert without == ["first_passes=0", "first_passes=4", *(name for name in CONTROLS if name != "never_thinks")]
    with pytest.raises(ConfigError, match=r"found 'never_thinks', allowed: .*, as the env has no action that thinks"):
        thinking(controls=["never_thinks"]).settings(Counting(9), v0(thinks=None))


def test_drawn_passes_are_as_many_a_move_as_the_policy_thinks():
    (plain, drawn) = play(Thinker(9), v0(300), [BASELINE, Setting(DrawnPasses(), 1)])
    assert drawn.setting.kind.thinking(1, plain) == Thinking(drawn=2.0)
    assert drawn.episodes.thinks.sum() == 0
    n = drawn.episodes.moves.sum()
    assert drawn.episodes.passes.sum() / n == pytest.approx(2, abs=4 * math.sqrt(2 * 3 / n))


def swept(policy, passes, env, folder=None):
    return sweep(policy, env, [BASELINE, *at_equal_compute(passes)], 300, folder=folder, measures=[Thinks()])


def test_learned_beside_fixed_and_drawn_at_equal_compute():
    """Its two thinks cost six ticks and solve all; a half of the levels with no pass (12 needed: three steps, of which
    there are two) and a half with four passes solve half."""
    played = swept(Thinker(9), [0, 4], env=v0(300))
    (found,) = learned_findings(played)
    fixed, drawn = found.table.to_dict("records")
    assert fixed["passes"] == "0 or 4" and fixed["share"] == pytest.approx(0.5)
    assert (fixed["ticks"], fixed["its_ticks"]) == (6, 6)
    assert (fixed["solved"], fixed["its_solved"], fixed["gain"]) == (1, pytest.approx(0.5), pytest.approx(0.5))
    lots = played[played["kind"] == DRAWN_PASSES]
    assert drawn["its_ticks"] == pytest.approx((lots["ticks"] - 3 * lots["moves"]).mean())
    assert drawn["its_solved"] == lots["solved"].mean() < 1
    assert drawn["gain"] == pytest.approx(1 - lots["solved"].mean()) and drawn["low"] <= drawn["gain"] <= drawn["high"]
    assert (played[played["kind"] == FIXED_PASSES]["thinks"] == 0).all()


@pytest.mark.parametrize("free", [5, 0])
def test_a_think_is_thinking_whether_it_is_free_or_a_step(free):
    played = swept(Thinker(9), [0], env=v0(300, thinks=free, max_steps=4))
    own = played_at(played, "first_passes")[0]
    assert (own.thinking == 6).all() and (own.ticks == 9).all()


def test_they_are_no_family_of_thinking_and_no_baseline():
    played = swept(Thinker(9), [0, 4], env=v0(300))
    rows = table(played, by_length=False)
    assert not any(row.is_thinking or row.is_control for row in rows)
    named = played.assign(checkpoint="a", seed=0, frames=7)
    metrics = metrics_at(table(named, by_length=False))[7]
    assert metrics["over_frames/solve_rate"] == 1 and metrics["over_frames/fixed_passes_0_solve_rate"] == 0


def test_an_interrupted_sweep_goes_on_to_the_same_records(tmp_path):
    whole = swept(Thinker(9), [0, 4], env=v0(100))
    swept(Thinker(9), [0, 4], env=v0(100), folder=tmp_path)
    for path in tmp_path.glob("*drawn*"):
        path.unlink()
    again = swept(Thinker(9), [0, 4], env=v0(100), folder=tmp_path)
    pd.testing.assert_frame_equal(again, whole, check_dtype=False)


def test_thinks_by_optimal_length_and_by_move():
    plain = records({("first_passes", 0, True): [1, 1, 0, 1]}, [1, 1, 2, -1])
    plain = plain.assign(thinks=[0, 2, 3, 9], moves=[1, 2, 3, 1], decisions=[".", "t.t.", ".tt..t", "t" * 9 + "."])
    an_episode, a_move = by_optimal(plain).table.to_dict("records")
    assert (an_episode["all"], an_episode["1"], an_episode["2"], an_episode["unknown"]) == (3.5, 1, 3, 9)
    assert (a_move["1"], a_move["2"]) == (0.5, 1) and an_episode["rank_correlation"] > 0.8
    moves = by_move(plain).table.set_index("move")
    assert moves["levels"].tolist() == [4, 2, 1]  # the last think of the third is before no move
    assert moves["thinks"].tolist() == [(0 + 1 + 0 + 9) / 4, (1 + 2) / 2, 0]
    assert moves["ever"].tolist() == [0.5, 1, 0]
    assert thinks_findings(plain.drop(columns=["thinks"])) == [] == learned_findings(plain)

"""The settings of a sweep: which there are, what they share, and what is played anew."""

import gymnasium as gym
import pandas as pd
import pytest
from counting import Counting
from no_thinking import thinking

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.errors import ConfigError
from drc_lab.evaluation.kinds.adaptive import Adaptive
from drc_lab.evaluation.kinds.controls import NoMemory, Random
from drc_lab.evaluation.kinds.first_passes import FirstPasses
from drc_lab.evaluation.kinds.kind import Setting
from drc_lab.evaluation.kinds.registry import shipped
from drc_lab.evaluation.kinds.repeats import Repeats
from drc_lab.evaluation.play.played import play
from drc_lab.evaluation.play.records import joined, records_of
from drc_lab.evaluation.play.sweep import sweep


def v1(n=4, **kwargs):
    more = {"max_steps": 2, "order": "sequential", "autoreset": False} | kwargs
    return gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=n, layout="v1", **more)


def first_passes(amounts):
    return FirstPasses(amounts).settings(Counting(1), set())


def repeats(amounts):
    return Repeats(amounts).settings(Counting(1), set())


def names(settings):
    return [setting.name for setting in settings]


def test_every_kind_of_thinking_is_there_and_the_policy_as_it_is_comes_first():
    spec = thinking(
        first_passes=[4, 1],
        noops=None,
        repeats=None,
        passes_at=[2],
        cycle_passes=[1, 2.5],
        cycle_noops=[1],
        adaptive=[0.01],
        controls=["random", "no_memory"],
    )
    settings = spec.settings(Counting(7), v1(noop=True))
    assert names(settings) == [
        "first_passes=0", "first_passes=1", "first_passes=4", "noops=0", "noops=1", "noops=2", "noops=4", "noops=8",
        *(f"repeats={n}" for n in range(1, 13)), "passes_at_3=2", "cycle_passes=1", "cycle_passes=2.5", "cycle_noops=1",
        "adaptive=0.01", "random", "no_memory", "no_memory_passes",
    ]  # fmt: skip
    assert [s.name for s in settings if s.is_baseline] == ["first_passes=0", "noops=0", "repeats=3"]
    without = spec.settings(Counting(7), v1())
    assert not [name for name in names(without) if "noops" in name] and len(without) == len(settings) - 6


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"first_passes": [-1]}, "first_passes: found -1, allowed: at least 0"),
        ({"repeats": [0]}, "repeats: found 0, allowed: at least 1"),
        ({"passes_at_step": -1}, "passes_at_step: found -1, allowed: at least 0"),
        ({"adaptive": [-0.1]}, "adaptive: found -0.1, allowed: at least 0"),
        ({"adaptive_max_ticks": 0}, "adaptive_max_ticks: found 0, allowed: at least 1"),
        ({"controls": ["lazy"]}, "controls: found 'lazy', allowed: random | "),
        ({"levels_at_once": 0}, "levels_at_once: found 0, allowed: at least 1"),
        ({"solver_levels": -1}, "solver_levels: found -1, allowed: at least 0"),
        ({"solver_max_states": 0}, "solver_max_states: found 0, allowed: at least 1"),
        ({"trace_ticks": -1}, "trace_ticks: found -1, allowed: at least 0"),
        ({"noops": [2]}, "noops: found .2., allowed: null or .., as the env has no action that does nothing"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(keys, line):
    with pytest.raises(ConfigError, match=line):
        thinking(**keys).settings(Counting(1), v1())


def test_a_kind_made_in_python_is_checked_as_one_of_a_config():
    with pytest.raises(ConfigError, match="max_ticks: found 0, allowed: at least 1"):
        Adaptive(max_ticks=0)
    with pytest.raises(ConfigError, match="max_ticks: found True, allowed: int, at least 1"):
        Adaptive(max_ticks=True)


def test_each_setting_plays_the_same_levels_and_the_policy_as_it_is_plays_once():
    policy = Counting(7)
    settings = [*first_passes([0, 1, 2]), *repeats([1, 3, 7]), Setting(Random())]
    played = list(play(policy, v1(), settings))
    assert all(p.episodes.level.tolist() == [0, 1, 2, 3] for p in played)
    # RIGHT needs 7 ticks: two steps of 3 are too few, one extra pass makes the second step right.
    assert [p.episodes.solved.tolist()[3] for p in played[:6]] == [False, True, True, False, False, True]
    # The first step solves one of the four boards, so that three go on: passes over all four are the first step's and
    # the extra ones, and those of the baseline policy are made once.
    assert [seen for seen in policy.seen if seen[0] == 4] == [(4, 3)] * (1 + 2 + 3) + [(4, 1), (4, 7)]


def test_without_memory_ticks_do_not_add_up():
    forgetful, choose = NoMemory().player(Counting(4), v1(), 0)
    assert choose is None
    for played in play(forgetful, v1(), first_passes([0, 5])):
        assert played.episodes.solved.tolist() == [False, False, True, False]
    plain = next(play(Counting(4), v1(), first_passes([0])))
    assert plain.episodes.solved.tolist() == [False, False, True, True]


def test_records_have_a_line_for_each_setting_and_level():
    records = joined([records_of(p) for p in play(Counting(7), v1(), first_passes([0, 1]))])
    assert records["kind"].tolist() == ["first_passes"] * 8 and records["amount"].tolist() == [0] * 4 + [1] * 4
    assert records["baseline"].tolist() == [True] * 4 + [False] * 4
    assert records["level"].tolist() == [0, 1, 2, 3] * 2 and records["optimal"].tolist() == [1] * 8
    assert records["solved"].tolist() == [False, False, True, False, False, False, True, True]
    assert records["passes"].tolist() == [0] * 4 + [1] * 4
    assert {"cycles", "cycle_steps", "cycle_start", "cycle_length", "ticks", "length", "return"} <= set(records)


class Interrupted(Exception):
    pass


def test_a_sweep_that_was_interrupted_goes_on_and_gives_the_same(tmp_path):
    settings = [
        *first_passes([0, 1, 2]),
        *repeats([1, 3]),
        *(Setting(kind()) for kind in shipped().values() if kind.is_control),
    ]
    env = v1(n=3)  # batches of 3 and 1
    whole = sweep(Counting(7), env, settings, 4)
    assert len(whole) == 4 * len(settings) and whole["level"].tolist() == [0, 1, 2, 3] * len(settings)
    ended = []

    def advance(number):
        ended.append(number)
        if sum(ended) >= 14:
            raise Interrupted

    with pytest.raises(Interrupted):
        sweep(Counting(7), env, settings, 4, folder=tmp_path, advance=advance)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert 0 < len(before) < 2 * len(settings)
    policy, done = Counting(7), []
    again = sweep(policy, env, settings, 4, folder=tmp_path, advance=done.append)
    pd.testing.assert_frame_equal(whole, again)
    assert sum(done) == 4 * len(settings) and all(number >= 0 for number in done)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in before} == before
    nothing_left = Counting(7)
    pd.testing.assert_frame_equal(whole, sweep(nothing_left, env, settings, 4, folder=tmp_path))
    assert not nothing_left.seen and policy.seen


def test_what_was_played_with_other_weights_or_settings_is_not_taken(tmp_path):
    env = v1()
    sweep(Counting(7), env, first_passes([0, 1]), 4, folder=tmp_path)
    policy = Counting(1)
    records = sweep(policy, env, first_passes([0, 1]), 4, folder=tmp_path)
    assert policy.seen
    pd.testing.assert_frame_equal(records, sweep(Counting(1), env, first_passes([0, 1]), 4))


def test_a_part_that_is_damaged_is_played_again(tmp_path):
    env = v1()
    records = sweep(Counting(7), env, first_passes([0]), 4, folder=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    pd.testing.assert_frame_equal(records, sweep(Counting(7), env, first_passes([0]), 4, folder=tmp_path))

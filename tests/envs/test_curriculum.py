"""The curriculum: stages rise on measured success, the rest is dealt from earlier ones, and all of it resumes."""

import numpy as np
import pytest

from drc_lab.envs.curriculum import CurriculumLevels, CurriculumSpec
from drc_lab.envs.ricochet import BoardGenerator
from drc_lab.envs.streams import GeneratedLevels


def curriculum(**kwargs):
    settings = {"stages": [{}, {}], "advance_at": 0.8, "window": 10, "review": 0.0} | kwargs
    sizes = [{"max_optimal": 1}, {"min_optimal": 2, "max_optimal": 2}, {"min_optimal": 3, "max_optimal": 3}]
    return CurriculumLevels([GeneratedLevels(BoardGenerator(**s), chunk=64) for s in sizes], CurriculumSpec(**settings))


def play(levels, solved):
    """One episode for each entry of ``solved``; returns the optimal lengths of the levels that were dealt."""
    ids, made, rows = levels.take(len(solved))
    levels.record(ids, np.array(solved))
    return made.optimal[rows].tolist()


def test_a_stage_is_left_when_its_success_rate_is_reached_and_not_before():
    levels = curriculum()
    assert play(levels, [True] * 7 + [False] * 3) == [1] * 10  # 70%: not yet
    assert levels.metrics() == {"curriculum/stage": 0.0, "curriculum/solve_rate": 0.7}
    assert play(levels, [True] * 9) == [1] * 9  # the window starts anew, and is not full
    assert levels.stage == 0
    assert play(levels, [False]) == [1]
    assert levels.stage == 1
    assert play(levels, [True] * 10) == [2] * 10
    assert play(levels, [True] * 10) == [3] * 10
    assert play(levels, [True] * 10) == [3] * 10  # the last stage has no next
    assert levels.stage == 2


def test_episodes_of_earlier_stages_do_not_count():
    levels = curriculum()
    ids, *_ = levels.take(30)
    levels.record(ids[:10], np.ones(10, bool))
    assert levels.stage == 1
    levels.record(ids[10:], np.ones(20, bool))  # begun before, ended after
    assert levels.stage == 1 and levels.episodes == 0


def test_review_deals_its_share_of_earlier_levels():
    levels = curriculum(review=0.4)
    assert set(play(levels, [True] * 10)) == {1}
    play(levels, [True] * 30)
    levels.stage = 2
    counts = np.bincount(play(levels, [False] * 2000), minlength=4)
    np.testing.assert_allclose(counts[1:] / 2000, [0.2, 0.2, 0.6], atol=0.04)


def test_ids_name_the_stage_and_repeat_for_no_two_levels():
    levels = curriculum(review=0.5)
    levels.stage = 2
    ids, made, rows = levels.take(500)
    assert len(set(ids.tolist())) == 500
    np.testing.assert_array_equal((ids >> 40) + 1, made.optimal[rows])


@pytest.mark.parametrize("episodes", [3, 10, 25])
def test_it_goes_on_exactly_from_a_saved_state(episodes):
    levels, other = curriculum(review=0.3), curriculum(review=0.3)
    levels.reseed(5)
    play(levels, [True] * episodes)
    other.set_state(levels.get_state())
    for solved in ([True] * 10, [True, False] * 8, [True] * 12):
        assert play(levels, solved) == play(other, solved)
        assert (levels.stage, levels.episodes, levels.solved) == (other.stage, other.episodes, other.solved)
    assert levels.stage > 0

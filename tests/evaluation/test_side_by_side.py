"""Levels played again for pictures: the right ones, both sides on one clock, and nothing changed by it."""

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
import torch
from counting import ENV, Counting
from PIL import Image, ImageSequence

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.evaluation.measures.failures import Failure, small_png, with_pictures
from drc_lab.evaluation.pictures.panel import Panel
from drc_lab.evaluation.pictures.side_by_side import HOLD, best_passes, side_by_side, telling_levels, timelines
from drc_lab.evaluation.pictures.video import write_video
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.models.policy import PolicyValue

UP, DOWN, LEFT, RIGHT = range(4)


class Valuing(Counting):
    """Its value is the number of its ticks."""

    def unroll(self, obs, state, resets, repeats=None):
        out, state = super().unroll(obs, state, resets, repeats)
        return PolicyValue(out.policy_logits, state[None, :, None]), state


def v1(n=4):
    return gym.make_vec(ENV, num_envs=n, layout="v1", order="sequential", max_steps=5, autoreset=False, noop=True)


def boards(level, actions, cell_size=16):
    """Pictures at the start and after each action, from an env of its own."""
    env = v1(1)
    env.reset(seed=0, options={"first_level": level})
    seen = [env.batch.picture(0, cell_size)]
    for action in actions:
        env.step(np.array([action]))
        seen.append(env.batch.picture(0, cell_size))
    return seen


def test_both_sides_show_the_same_level_at_the_same_clock(tmp_path):
    """RIGHT comes with the seventh tick, three a pass: in the third step, or with two extra passes in the first."""
    env = v1()
    sides = [timelines(Valuing(7), env, [3], n, 16)[0] for n in (0, 2)]
    start, after_left, after_both, solved = boards(3, [LEFT, LEFT, RIGHT])
    at_once = boards(3, [RIGHT])[1]
    wanted = [start, after_left, after_both, solved], [start, start, start, at_once]
    assert np.array_equal(solved, at_once) and not np.array_equal(start, after_left)
    for moments, pictures in zip(sides, wanted, strict=True):
        assert len(moments) == 4
        for moment, picture in zip(moments, pictures, strict=True):
            np.testing.assert_array_equal(moment.board, picture)
        assert [moment.value for moment in moments[:3]] == [3, 6, 9]
    assert [m.action for m in sides[0]] == [LEFT, LEFT, RIGHT, None]
    assert [m.action for m in sides[1]] == [None, None, RIGHT, None]
    assert [m.says for m in sides[1]] == [
        "thinking: pass 1 of 2",
        "thinking: pass 2 of 2",
        "0/5: A right",
        "solved in 1 step",
    ]
    assert sides[1][0].chances[LEFT] > sides[1][0].chances[RIGHT]
    assert sides[1][2].chances[LEFT] < sides[1][2].chances[RIGHT] and len(sides[1][0].chances) == 4

    frames = side_by_side(Valuing(7), env, [3], 2, 16)
    assert len(frames) == 4 + HOLD - 1
    panels = [Panel("", moments, env.batch.action_names) for moments in sides]
    for tick, frame in enumerate(frames):
        for panel, pictures, left in zip(panels, wanted, (0, frame.shape[1] - panels[1].width), strict=True):
            picture = pictures[min(tick, 3)]
            H, W = picture.shape[:2]
            x = left + (panel.width - W) // 2
            np.testing.assert_array_equal(frame[panel.top : panel.top + H, x : x + W], picture)
    write_video(frames, tmp_path / "side.gif", fps=4)
    with Image.open(tmp_path / "side.gif") as gif:
        shown = [frame.info["duration"] for frame in ImageSequence.Iterator(gif)]
        assert sum(shown) == len(frames) * 250 and gif.size == frames[0].shape[1::-1]


def test_a_side_that_is_over_waits_for_the_other():
    env = v1()
    sides = [timelines(Counting(99), env, [2], n, 16)[0] for n in (0, 3)]  # LEFT, which solves it at once
    assert [len(moments) for moments in sides] == [2, 5]
    panels = [Panel("", moments, env.batch.action_names) for moments in sides]
    ended, later = panels[0].draw(1), panels[0].draw(4)
    below = panels[0].top  # above it stands the clock
    np.testing.assert_array_equal(ended[below:], later[below:])
    assert not np.array_equal(ended[:below], later[:below])


@pytest.mark.parametrize("boards_at_once", [1, 4])
def test_chosen_levels_are_played_in_their_order_whatever_the_number_of_boards(boards_at_once):
    env = v1(boards_at_once)
    found = timelines(Counting(1), env, [3, 0, 2], 0, 16)  # RIGHT from the first step on
    for moments, level in zip(found, (3, 0, 2), strict=True):
        np.testing.assert_array_equal(moments[0].board, boards(level, [])[0])
    assert [len(moments) for moments in found] == [2, 6, 6]
    after = evaluate(Counting(1), env, levels=range(boards_at_once))
    assert after.level.tolist() == list(range(boards_at_once))  # the env deals its own levels again


def test_failures_are_shown_where_they_began_and_ended():
    found = [Failure(level, 1, 5, 0, 0, ()) for level in (0, 1)]
    for failure in with_pictures(found, Counting(1), v1()):
        H = boards(failure.level, [], 8)[0].shape[0]
        seen = boards(failure.level, [RIGHT] * 5, 8 * 150 // H)
        assert failure.first == small_png(seen[0]) and failure.last == small_png(seen[-1])
        assert failure.first != failure.last


def played(kind, amount, solved, baseline=False):
    return pd.DataFrame(
        {
            "kind": kind,
            "amount": float(amount),
            "baseline": baseline,
            "level": range(len(solved)),
            "solved": np.array(solved, bool),
        }
    )


def test_levels_are_chosen_that_tell_something():
    records = pd.concat(
        [
            played("first_passes", 0, [1, 1, 1, 0, 0, 0, 0, 0], baseline=True),
            played("first_passes", 2, [1, 1, 1, 0, 0, 0, 0, 0]),
            played("first_passes", 8, [1, 0, 0, 1, 1, 1, 0, 0]),
            played("noops", 4, [1] * 8),
        ]
    )
    assert best_passes(records) == 8 and telling_levels(records, 8) == [3, 4, 1, 2]
    assert telling_levels(records, 2) == [0]  # no level tells them apart
    assert telling_levels(records, 5) == [0]  # was not played
    assert best_passes(records[records["amount"] == 0]) is None


def test_entropy_is_of_the_probabilities():
    (moments,) = timelines(Counting(7), v1(), [3], 1, 16)
    chances = torch.softmax(torch.tensor([0.0, 0.0, 0.5, -1.0], dtype=torch.float64), -1)
    assert moments[0].entropy == pytest.approx(float(-(chances * chances.log()).sum()), abs=1e-6)

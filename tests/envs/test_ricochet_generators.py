"""Boards in the manner of the board game, boards in larger arrays, and boards under symmetries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drc_lab.envs.levels import SPLITS, split_of
from drc_lab.envs.ricochet import BoardGenerator, Boards
from drc_lab.envs.ricochet.identity import identities
from drc_lab.envs.ricochet.level import CLOSED
from drc_lab.envs.ricochet.official import CORNERS, official_walls
from drc_lab.envs.ricochet.solve import solve_many
from drc_lab.envs.ricochet.step import slide
from drc_lab.envs.ricochet.symmetry import transform, transform_actions
from drc_lab.errors import ConfigError

NAMES = ("walls", "robots", "goal", "target", "optimal")


def boards(count=20, seed=0, **kwargs) -> Boards:
    return BoardGenerator(**kwargs)(np.random.default_rng(seed), count)


def drawn(size, seed=0):
    """bool [H + 1, W] and [H, W + 1] of an official board's walls, read from either side, and its corners."""
    height, width = size
    walls, corners = np.zeros(height * width, np.uint8), np.zeros(CORNERS, np.int64)
    official_walls(np.random.default_rng(seed), height, width, walls, corners)
    up, down, left, right = (walls.reshape(size) >> side & 1 > 0 for side in range(4))
    np.testing.assert_array_equal(up[1:], down[:-1])
    np.testing.assert_array_equal(left[:, 1:], right[:, :-1])
    return np.vstack([up, down[-1:]]), np.hstack([left, right[:, -1:]]), corners


def pieces(h, v):
    """Groups of inner wall pieces that touch each other, as sets of lattice points; the border does not join them."""
    height, width = v.shape[0], h.shape[1]
    ends = [((r, c), (r, c + 1)) for r, c in np.argwhere(h) if 0 < r < height]
    ends += [((r, c), (r + 1, c)) for r, c in np.argwhere(v) if 0 < c < width]
    groups: list[set] = []
    for piece in ends:
        touching = [g for g in groups if g & set(piece)]
        groups = [g for g in groups if g not in touching] + [set(piece).union(*touching)]
    return groups


@pytest.mark.parametrize("size", [(12, 12), (16, 16), (14, 22)])
def test_official_boards_have_a_closed_centre_two_edge_walls_a_side_and_corners_that_touch_nothing(size):
    height, width = size
    for seed in range(30):
        h, v, corners = drawn(size, seed)
        groups = pieces(h, v)
        centre = {(height // 2 + i, width // 2 + j) for i in (-1, 0, 1) for j in (-1, 0, 1)}
        assert centre in groups
        border = [g for g in groups if any(r in (0, height) or c in (0, width) for r, c in g)]
        assert len(border) == 8 and all(len(g) == 2 for g in border)
        for side, half in ((0, width), (height, width)):
            on = sorted(c for g in border for r, c in g if r == side)
            assert len(on) == 2 and on[0] < half / 2 < on[1]
        for side, half in ((0, height), (width, height)):
            on = sorted(r for g in border for r, c in g if c == side)
            assert len(on) == 2 and on[0] < half / 2 < on[1]
        corner_groups = [g for g in groups if g not in border and g != centre]
        assert len(groups) == 1 + 8 + CORNERS and all(len(g) == 3 for g in corner_groups)
        cells = [divmod(int(cell), width) for cell in corners]
        around = [{(r, c), (r + 1, c), (r, c + 1), (r + 1, c + 1)} for r, c in cells]
        assert all(sum(g <= a for a in around) == 1 for g in corner_groups)
        quadrants = np.bincount([2 * (r >= height // 2) + (c >= width // 2) for r, c in cells])
        assert sorted(quadrants) == [4, 4, 4, 5]


def test_each_official_quadrant_has_a_corner_open_to_each_diagonal():
    h, v, corners = drawn((16, 16), 5)
    shapes: dict = {}
    for r, c in (divmod(int(cell), 16) for cell in corners):
        walls = (bool(h[r, c]), bool(h[r + 1, c]), bool(v[r, c]), bool(v[r, c + 1]))
        assert walls[0] != walls[1] and walls[2] != walls[3]
        shapes.setdefault((r >= 8, c >= 8), set()).add(walls)
    assert [len(found) for found in shapes.values()] == [4] * 4


def test_official_goals_are_in_corners_and_nothing_is_in_the_centre():
    made = boards(60, style="official", height=12, width=12, num_robots=4, max_optimal=5)
    walls = made.walls.reshape(60, -1)
    each = np.arange(60)
    at_goal = walls[each, made.goal]
    assert set(at_goal.tolist()) == {1 | 4, 1 | 8, 2 | 4, 2 | 8}
    assert not (walls[each[:, None], made.robots] == CLOSED).any()
    assert (walls == CLOSED).sum(axis=1).tolist() == [4] * 60
    np.testing.assert_array_equal(solve_many(made)[0], made.optimal)
    assert made.optimal.max() <= 5 and len(set(made.goal.tolist())) > 20
    assert set(made.target.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("style", ["random", "official"])
def test_the_same_generator_state_gives_the_same_boards(style):
    kwargs = {"style": style, "height": 12, "width": 12, "num_robots": 3, "max_optimal": 4}
    one, two, other = boards(20, 1, **kwargs), boards(20, 1, **kwargs), boards(20, 2, **kwargs)
    for name in NAMES:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert (one.walls != other.walls).any()


@pytest.mark.parametrize("split", SPLITS)
def test_padded_boards_are_the_unpadded_ones_in_the_corner_and_in_the_same_split(split):
    small = boards(40, height=4, width=5, num_robots=2, split=split)
    padded = boards(40, height=4, width=5, num_robots=2, split=split, pad_height=6, pad_width=8, pad_robots=4)
    np.testing.assert_array_equal(padded.walls[:, :4, :5], small.walls)
    padded.walls[:, :4, :5] = CLOSED
    assert padded.walls.shape == (40, 6, 8) and (padded.walls == CLOSED).all()
    padded.walls[:, :4, :5] = small.walls
    np.testing.assert_array_equal(padded.robots[:, :2], small.robots // 5 * 8 + small.robots % 5)
    assert padded.robots.shape == (40, 4) and (padded.robots[:, 2:] == -1).all()
    np.testing.assert_array_equal(padded.goal, small.goal // 5 * 8 + small.goal % 5)
    np.testing.assert_array_equal(padded.optimal, small.optimal)
    np.testing.assert_array_equal(solve_many(padded)[0], small.optimal)
    np.testing.assert_array_equal(identities(padded), identities(small))
    assert {SPLITS[split_of(number)] for number in identities(small)} == {split}


def test_no_split_is_all_of_them():
    assert {int(split_of(number)) for number in identities(boards(200, split=None))} == {0, 1, 2}


@pytest.mark.parametrize("kwargs", [{"height": 6, "width": 6}, {"height": 4, "width": 4, "pad_height": 7}])
def test_symmetric_and_renumbered_boards_keep_optimum_and_identity(kwargs):
    made, rng = boards(24, num_robots=3, **kwargs), np.random.default_rng(0)
    order = np.argsort(rng.random((24, 3)), axis=1)
    square = made.walls.shape[1] == made.walls.shape[2]
    for symmetry in (*range(8), rng.integers(0, 8 if square else 4, 24)):
        copies = transform(made, symmetry, order)
        np.testing.assert_array_equal(identities(copies), identities(made))
        np.testing.assert_array_equal(solve_many(copies)[0], made.optimal)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 7), st.lists(st.integers(-1, 12), min_size=1, max_size=12))
def test_transformed_actions_lead_through_transformed_positions(seed, symmetry, actions):
    one = boards(1, seed, height=4, width=5, num_robots=2, pad_robots=3)
    order = np.argsort(np.random.default_rng(seed).random((1, 3)), axis=1)
    other = transform(one, symmetry, order)
    turned = transform_actions(np.array([actions]), symmetry, order)[0]
    for before, after in zip(actions, turned, strict=True):
        assert (before in (-1, 12)) == (after in (-1, 12)) and (before == after or before not in (-1, 12))
        for now, action in ((one, before), (other, after)):
            robot, direction = divmod(int(action), 4)
            if 0 <= robot < 3 and now.robots[0, robot] >= 0:
                walls, width = now.walls.reshape(-1), now.walls.shape[2]
                now.robots[0, robot] = slide(walls, width, now.robots[0], robot, direction)
        np.testing.assert_array_equal(transform(one, symmetry, order).robots, other.robots)
        assert (one.robots[0, one.target[0]] == one.goal[0]) == (other.robots[0, other.target[0]] == other.goal[0])


def test_the_identity_symmetry_changes_nothing_and_no_boards_stay_none():
    made = boards(5, height=3, width=6)
    for one in (made, made[:0]):
        same = transform(one, np.zeros(len(one), np.int64))
        for name in NAMES:
            np.testing.assert_array_equal(getattr(same, name), getattr(one, name))


def test_boards_that_are_not_square_cannot_mix_shapes():
    made = boards(2, height=3, width=6)
    assert transform(made, 4).walls.shape == (2, 6, 3)
    with pytest.raises(ConfigError, match="symmetry"):
        transform(made, np.array([0, 4]))


@pytest.mark.parametrize(
    ("kwargs", "key"),
    [
        ({"style": "officious"}, "style"),
        ({"style": "official", "height": 10, "width": 16}, "height"),
        ({"style": "official", "height": 16, "width": 15}, "width"),
        ({"height": 6, "pad_height": 5}, "height"),
        ({"width": 6, "pad_width": 5}, "width"),
        ({"num_robots": 3, "pad_robots": 2}, "num_robots"),
        ({"max_states": 0}, "max_states"),
    ],
)
def test_impossible_settings_name_the_key(kwargs, key):
    with pytest.raises(ConfigError) as error:
        BoardGenerator(**kwargs)
    assert error.value.key == key

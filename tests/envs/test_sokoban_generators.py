"""Sokoban's generators: what they promise of every level, and of sets of them."""

import numpy as np
import pytest
from plain_sokoban import plain_length

from drc_lab.envs.levels import SPLITS, split_of
from drc_lab.envs.sokoban.generate import RoomGenerator
from drc_lab.envs.sokoban.identity import identities
from drc_lab.envs.sokoban.level import BOX, BOX_ON_TARGET, PLAYER, PLAYER_ON_TARGET, TARGET, WALL
from drc_lab.envs.sokoban.reverse import ReverseGenerator
from drc_lab.envs.sokoban.solve import solve_many
from drc_lab.envs.sokoban.survey import survey
from drc_lab.envs.streams import draw_distinct
from drc_lab.errors import ConfigError

BOTH = pytest.mark.parametrize("generator", [RoomGenerator, ReverseGenerator])


def make(generator, count=20, seed=0, **kwargs):
    return generator(**kwargs)(np.random.default_rng(seed), count)


@BOTH
@pytest.mark.parametrize("kwargs", [{}, {"height": 6, "width": 9, "num_boxes": 1}, {"height": 9, "num_boxes": 3}])
def test_levels_are_whole_and_not_solved(generator, kwargs):
    expected = generator(**kwargs)
    levels = make(generator, 40, **kwargs)
    assert levels.tiles.shape == (40, expected.height, expected.width) and levels.tiles.dtype == np.uint8
    for tiles in levels.tiles:
        counts = np.bincount(tiles.ravel(), minlength=7)
        boxes, targets = counts[BOX] + counts[BOX_ON_TARGET], counts[[TARGET, BOX_ON_TARGET, PLAYER_ON_TARGET]].sum()
        assert boxes == targets == expected.num_boxes and counts[BOX]
        assert counts[PLAYER] + counts[PLAYER_ON_TARGET] == 1
        assert (np.concatenate([tiles[0], tiles[-1], tiles[:, 0], tiles[:, -1]]) == WALL).all()
        assert len(survey(tiles).target) == (tiles != WALL).sum()  # the player can get everywhere


@pytest.mark.parametrize(
    "kwargs",
    [
        {"height": 6, "width": 6},
        {"height": 5, "width": 7, "min_optimal": 8, "max_optimal": 12},
        {"height": 5, "width": 7, "min_pushes": 3, "max_pushes": 4},
    ],
)
def test_rooms_are_solvable_with_their_stated_optima_within_the_limits(kwargs):
    levels = make(RoomGenerator, 40, **kwargs)
    assert levels.optimal.tolist() == [plain_length(tiles, "moves") for tiles in levels.tiles]
    assert levels.pushes.tolist() == [plain_length(tiles, "pushes") for tiles in levels.tiles]
    for name in ("optimal", "pushes"):
        lengths = getattr(levels, name)
        assert kwargs.get(f"min_{name}", 1) <= lengths.min() and lengths.max() <= kwargs.get(f"max_{name}", 10**9)


def test_reversed_levels_are_solvable_and_measured_only_if_asked():
    levels = make(ReverseGenerator, 30)
    assert (solve_many(levels.tiles, "pushes") > 0).all()
    assert (levels.optimal == -1).all() and (levels.pushes == -1).all()
    assert not np.isin(levels.tiles, BOX_ON_TARGET).any()
    for asked in ({"prove": True}, {"min_pushes": 8}, {"max_optimal": 30}):
        levels = make(ReverseGenerator, 10, **asked)
        assert levels.optimal.tolist() == solve_many(levels.tiles, "moves").tolist()
        assert levels.pushes.tolist() == solve_many(levels.tiles, "pushes").tolist()
        assert levels.pushes.min() >= asked.get("min_pushes", 1)
        assert levels.optimal.max() <= asked.get("max_optimal", 10**9)


def test_reversed_levels_are_as_walled_and_as_long_as_those_of_boxoban():
    """The first 1,000 (pushes: 200) of Boxoban's unfiltered training levels have 68.2% walls and need 12.5 pushes."""
    levels = make(ReverseGenerator, 300)
    assert (levels.tiles == WALL).mean() == pytest.approx(0.682, abs=0.02)
    assert solve_many(levels.tiles[:100], "pushes").mean() == pytest.approx(12.5, abs=1.5)


def test_more_effort_makes_longer_levels():
    few, many = (solve_many(make(ReverseGenerator, 60, effort=effort).tiles, "pushes").mean() for effort in (20, 300))
    assert few < many - 1


@BOTH
def test_the_same_generator_state_gives_the_same_levels(generator):
    first, again, other = (make(generator, 30, seed).tiles for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize(
    ("generator", "small"),
    [
        (RoomGenerator, {"height": 4, "width": 5, "num_boxes": 1}),
        (ReverseGenerator, {"height": 4, "width": 5, "num_boxes": 1, "effort": 5}),
    ],
)
def test_splits_are_disjoint_for_any_seeds_even_up_to_symmetry(generator, small):
    """On boards so small that a random split would certainly repeat some."""
    seen = {}
    for split in SPLITS:
        made = [identities(make(generator, 100, seed, split=split, **small)) for seed in range(3)]
        seen[split] = set(np.concatenate(made).tolist())
        assert all(SPLITS[split_of(np.uint64(i))] == split for i in seen[split])
        assert len(seen[split]) < 300
    assert not seen["train"] & seen["valid"] and not seen["train"] & seen["test"] and not seen["valid"] & seen["test"]


def test_held_out_sets_have_no_level_twice():
    levels = draw_distinct(RoomGenerator(6, 6, 1, split="valid"), 60, 0, identities)
    assert len(set(identities(levels).tolist())) == 60


def test_walls_are_as_dense_as_asked():
    inner = [make(RoomGenerator, 200, wall_density=density).tiles[:, 1:-1, 1:-1] for density in (0, 0.1, 0.3)]
    shares = [(tiles == WALL).mean() for tiles in inner]
    assert shares[0] == 0 and 0.05 < shares[1] < 0.15 < shares[2] < 0.45


@BOTH
@pytest.mark.parametrize(
    ("kwargs", "key"),
    [
        ({"height": 2}, "height"),
        ({"width": 51}, "width"),
        ({"height": 3, "width": 4, "num_boxes": 1}, "height"),
        ({"num_boxes": 0}, "num_boxes"),
        ({"height": 4, "width": 5, "num_boxes": 5}, "num_boxes"),
        ({"min_optimal": 0}, "min_optimal"),
        ({"min_optimal": 3, "max_optimal": 2}, "max_optimal"),
        ({"min_pushes": 3, "max_pushes": 2}, "max_pushes"),
        ({"split": "training"}, "split"),
    ],
)
def test_impossible_settings_name_the_key(generator, kwargs, key):
    with pytest.raises(ConfigError) as error:
        generator(**kwargs)
    assert error.value.key == key


@pytest.mark.parametrize(
    ("generator", "kwargs", "key"),
    [
        (RoomGenerator, {"wall_density": 1.0}, "wall_density"),
        (ReverseGenerator, {"carving": 0.0}, "carving"),
        (ReverseGenerator, {"effort": 0}, "effort"),
    ],
)
def test_impossible_settings_of_one_generator_name_the_key(generator, kwargs, key):
    with pytest.raises(ConfigError) as error:
        generator(**kwargs)
    assert error.value.key == key


@BOTH
@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"height": 5, "width": 5, "num_boxes": 1, "min_optimal": 200}, "min_optimal: found 200"),
        ({"height": 4, "width": 4, "num_boxes": 2}, "num_boxes: found 2"),
    ],
)
def test_settings_that_no_level_fulfils_are_refused_instead_of_searching_forever(generator, kwargs, message):
    with pytest.raises(ConfigError, match=message):
        make(generator, 1, **kwargs)

"""Sokoban's exact solver and the identity of levels, against plain Python."""

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest
from plain_sokoban import plain_length, plain_start, plain_step, random_level, read

from drc_lab.envs.search import LIMIT, UNSOLVABLE, SearchLimitReached
from drc_lab.envs.sokoban.bounds import WORK_ROWS, cheapest_matching
from drc_lab.envs.sokoban.identity import identities, identity
from drc_lab.envs.sokoban.level import (
    BOX,
    FLOOR,
    PLAYER,
    TARGET,
    WALL,
    Levels,
)
from drc_lab.envs.sokoban.solve import replay, solve, solve_many
from drc_lab.errors import ConfigError, UserError

DATA = Path(__file__).parents[3] / "shared" / "data"
LONG_LEVEL = """
##########
#.$ @ #  #
#    $.  #
#  # $#  #
#.  #  $.#
#        #
##########
"""


def check_against_plain_search(count, seed, sizes, boxes):
    """Lengths, and that the actions do what is said of them. Returns the share of solvable levels."""
    rng, solvable = np.random.default_rng(seed), 0
    for number in range(count):
        tiles = random_level(rng, *rng.integers(*sizes, 2, endpoint=True), boxes)
        for optimal in ("moves", "pushes"):
            expected, solution = plain_length(tiles, optimal), solve(tiles, optimal)
            where = f"{seed}:{number}\n{tiles}"
            if solution is None:
                assert expected == UNSOLVABLE, where
                continue
            assert (len(solution) if optimal == "moves" else solution.pushes) == expected, where
            walls, targets, state = plain_start(tiles)
            pushes = 0
            for action in solution.actions:
                state, pushed = plain_step(walls, state, action)
                pushes += pushed
            assert state[1] == targets and pushes == solution.pushes, where
            solvable += optimal == "moves"
    return solvable / count


@pytest.mark.parametrize(("sizes", "boxes"), [((4, 6), 1), ((4, 6), 2), ((5, 5), 3)])
def test_solver_equals_plain_search(sizes, boxes):
    assert 0.05 < check_against_plain_search(400, boxes, sizes, boxes) < 0.9


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "boxes", "count"), [((4, 7), 2, 2000), ((4, 6), 3, 3000), ((5, 6), 4, 3000)])
def test_solver_equals_plain_search_on_many_levels(sizes, boxes, count):
    assert 0.02 < check_against_plain_search(count, 100 + boxes, sizes, boxes) < 0.9


def test_solver_tells_solved_unsolvable_and_undecided_apart():
    level = read(LONG_LEVEL)
    solution = solve(level)
    assert replay(level, solution.actions) == (True, len(solution), solution.pushes)
    with pytest.raises(SearchLimitReached, match="10 positions"):
        solve(level, max_states=10)
    corner = read("#####\n#$  #\n#@ .#\n#####")
    assert solve(corner) is None
    levels = np.stack([np.pad(corner, ((0, 3), (0, 5))), level])
    for optimal, length in (("moves", len(solution)), ("pushes", solve(level, "pushes").pushes)):
        assert solve_many(levels, optimal, threads=2).tolist() == [UNSOLVABLE, length]
        assert solve_many(levels, optimal, max_states=10).tolist() == [UNSOLVABLE, LIMIT]


def test_a_solved_level_takes_no_moves():
    solution = solve(read("####\n#*@#\n####"))
    assert (solution.actions, len(solution), solution.pushes) == ((), 0, 0)


def test_a_box_out_of_reach_on_its_target_does_not_matter_and_another_one_does():
    assert solve(read("#######\n#@$.#*#\n#######")).actions == (3,)
    assert solve(read("#######\n#@$.#$#\n###.###\n#######")) is None
    assert solve(read("#######\n#@$ #.#\n#######")) is None


def test_edges_of_the_array_are_walls():
    assert solve(read("@$.")).actions == (3,)
    assert solve(read("@.$")) is None


def test_fewest_moves_and_fewest_pushes_are_two_answers():
    level = read("########\n#      #\n#     @#\n#  $  ##\n#  .$ .#\n#      #\n#    # #\n########")
    by_moves, by_pushes = solve(level, "moves"), solve(level, "pushes")
    assert (len(by_moves), by_moves.pushes) == (12, 5)
    assert (len(by_pushes), by_pushes.pushes) == (14, 3)


def test_a_board_of_the_largest_size_with_32_boxes_is_solved():
    tiles = np.full((50, 50), WALL, np.uint8)
    tiles[1:-1, 1:-1] = FLOOR
    tiles[4:36, 10], tiles[4:36, 12], tiles[2, 2] = BOX, TARGET, PLAYER
    solution = solve(tiles, "pushes")
    assert solution.pushes == 64 and replay(tiles, solution.actions)[0]


def test_levels_that_cannot_be_are_refused():
    for text, message in (("$.", "0 players"), ("@@$.", "2 players"), ("@$ ", "1 boxes and 0 targets")):
        with pytest.raises(UserError, match=message):
            solve(read(text))
    with pytest.raises(ConfigError, match="optimal: found 'steps'"):
        solve(read("@$."), "steps")


def test_matching_is_the_cheapest_of_all():
    rng = np.random.default_rng(0)
    for count in (0, 1, 2, 3, 5):
        for _ in range(50):
            cost = rng.integers(0, 9, (count, count))
            ways = itertools.permutations(range(count))
            expected = min(sum(cost[i, t] for i, t in enumerate(way)) for way in ways)
            assert cheapest_matching(cost, np.empty((WORK_ROWS, count + 1), np.int64)) == expected


def test_replay_equals_the_plain_rule_and_stops_where_the_level_is_solved():
    rng, solved_early = np.random.default_rng(1), 0
    for _ in range(300):
        tiles = random_level(rng, 5, 5, 1)
        before = tiles.copy()
        actions = rng.integers(0, 4, 60)
        walls, targets, state = plain_start(tiles)
        moves = pushes = 0
        while moves < 60 and state[1] != targets:
            state, pushed = plain_step(walls, state, actions[moves])
            moves, pushes = moves + 1, pushes + pushed
        assert replay(tiles, actions) == (state[1] == targets, moves, pushes)
        np.testing.assert_array_equal(tiles, before)
        solved_early += 0 < moves < 60
    assert solved_early


def test_identity_is_the_same_for_symmetric_and_padded_copies_and_differs_otherwise():
    rng, numbers = np.random.default_rng(0), set()
    for _ in range(50):
        tiles = random_level(rng, 6, 7, 2)
        turned = [np.rot90(flipped, k) for flipped in (tiles, tiles[:, ::-1]) for k in range(4)]
        copies = [np.pad(copy, pad) for copy in turned for pad in (0, ((1, 0), (2, 3)))]
        assert {int(identity(np.ascontiguousarray(copy))) for copy in copies} == {int(identity(tiles))}
        numbers.add(int(identity(tiles)))
        other = tiles.copy()
        other[tuple(np.argwhere(tiles == FLOOR)[0])] = WALL
        assert identity(other) != identity(tiles)
    assert len(numbers) == 50


def test_identities_are_those_of_the_levels():
    tiles = np.stack([random_level(np.random.default_rng(i), 5, 5, 1) for i in range(4)])
    numbers = identities(Levels(tiles, *np.full((2, 4), -1)))
    assert numbers.dtype == np.uint64 and numbers.tolist() == [int(identity(level)) for level in tiles]


def test_lengths_agree_with_published_solutions_of_boxoban():
    levels, rows = DATA / "boxoban/medium/valid/000.txt", DATA / "boxoban_solutions/medium_valid_000-004.csv"
    if not (levels.is_file() and rows.is_file()):
        pytest.skip("the Boxoban levels and solutions are not here")
    texts = ["\n".join(block.split("\n")[1:]) for block in levels.read_text().split("; ")[1:]]
    agreeing = 0
    for row in list(csv.DictReader(rows.read_text().splitlines()))[:50]:
        if row["File"] != "000" or not row["Actions"].isdigit():
            continue
        tiles = read(texts[int(row["Level"])].strip())
        solved, moves, pushes = replay(tiles, np.array([(0, 3, 1, 2)[int(a)] for a in row["Actions"]]))
        if solved:  # some rows are wrong; those that are not have the fewest moves
            assert len(solve(tiles)) == moves and solve(tiles, "pushes").pushes <= pushes
            agreeing += 1
    assert agreeing > 30

"""Published solutions: only what solves its level when it is replayed is believed."""

from pathlib import Path

import numpy as np
import pytest
from sokoban_random import boxoban_text, random_level

from drc_lab.envs.sokoban.files import open_levels
from drc_lab.envs.sokoban.level import Level, Levels
from drc_lab.envs.sokoban.solutions import read_solutions, replay_solutions
from drc_lab.errors import UserError

# Push right twice, or go round the wall: their directions are 0 up, 1 right, 2 down, 3 left.
CORRIDOR = """
##########
#@$ .#####
#    #####
##########
##########
##########
##########
##########
##########
##########
""".strip()
DATA = Path(__file__).parents[3] / "shared" / "data"  # a part of the published levels, where it is at hand
HEADER = "File,Level,Actions,Steps,SearchSteps\n"


def plain_replay(level: Level, actions):
    """The rules on sets of cells. The step that solves, or -1."""
    cells = {(r, c): symbol for r, row in enumerate(str(level).split("\n")) for c, symbol in enumerate(row)}
    walls = {cell for cell, symbol in cells.items() if symbol == "#"}
    boxes = {cell for cell, symbol in cells.items() if symbol in "$*"}
    targets = {cell for cell, symbol in cells.items() if symbol in ".*+"}
    (player,) = (cell for cell, symbol in cells.items() if symbol in "@+")
    for step, action in enumerate(actions, 1):
        dr, dc = ((-1, 0), (1, 0), (0, -1), (0, 1))[action]
        to, beyond = (player[0] + dr, player[1] + dc), (player[0] + 2 * dr, player[1] + 2 * dc)
        if to in walls or (to in boxes and (beyond in walls or beyond in boxes)):
            continue
        if to in boxes:
            boxes = boxes - {to} | {beyond}
        player = to
        if boxes == targets:
            return step
    return -1


def test_replay_equals_the_plain_rules():
    rng = np.random.default_rng(0)
    levels = [random_level(rng, 5, 5, boxes=1 + number % 2) for number in range(2000)]
    actions = rng.integers(4, size=(2000, 60)).astype(np.uint8)
    solved = replay_solutions(Levels.pack(levels).tiles, actions.ravel(), np.arange(2001) * 60)
    assert solved.tolist() == [plain_replay(*pair) for pair in zip(levels, actions, strict=True)]
    assert (solved > 0).sum() > 20


@pytest.fixture
def levels(tmp_path):
    """Two files; the second holds the corridor as level 1."""
    rng = np.random.default_rng(0)
    (tmp_path / "levels").mkdir()
    (tmp_path / "levels" / "000.txt").write_text(boxoban_text([random_level(rng)]))
    (tmp_path / "levels" / "001.txt").write_text(boxoban_text([random_level(rng), CORRIDOR, random_level(rng)]))
    return open_levels(tmp_path / "levels")


def read(tmp_path, levels, *rows):
    path = tmp_path / "solutions.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return read_solutions(path, levels)


def test_a_solution_is_found_for_its_level_in_our_directions(tmp_path, levels):
    solutions = read(tmp_path, levels, "001,1,2011,4,9")
    assert solutions.moves.tolist() == [-1, -1, 4, -1]
    assert solutions.of(2).tolist() == [1, 0, 3, 3]
    assert solutions.of(0).size == solutions.of(3).size == 0


def test_of_several_solutions_the_shortest_counts_and_what_follows_the_solving_step_is_cut_off(tmp_path, levels):
    solutions = read(tmp_path, levels, "001,1,2011,4,9", "001,1,1133,4,9", "001,1,11,2,9")
    assert solutions.moves[2] == 2 and solutions.of(2).tolist() == [3, 3]
    assert (solutions.rows, solutions.repeated, solutions.unsolved) == (3, 2, 0)


def test_rows_that_cannot_be_believed_are_counted_and_left_out(tmp_path, levels):
    solutions = read(
        tmp_path,
        levels,
        "001,1,10,2,9",
        "000,0,1111,INCORRECT_SOLUTION_FOUND,9",  # do not solve
        "1,SEARCH_STATE_FAILED,-1,50",
        "001,1,,0,0",
        "001,1,14,2,9",
        "001,1",
        "001,-1,11,2,9",  # malformed
        "001,3,11,2,9",
        "002,0,11,2,9",  # no such level
    )
    assert (solutions.moves == -1).all()
    assert (solutions.rows, solutions.unsolved, solutions.malformed, solutions.unknown) == (9, 2, 5, 2)
    empty = read(tmp_path, levels)
    assert (empty.moves == -1).all() and empty.rows == 0


def test_a_file_that_holds_no_solutions_is_told(tmp_path, levels):
    path = tmp_path / "solutions.csv"
    path.write_text("File,Level\n001,1\n")
    with pytest.raises(UserError, match=r"solutions\.csv: found no column Actions, allowed: File, Level, Actions"):
        read_solutions(path, levels)
    with pytest.raises(UserError, match=r"nowhere\.csv: No such file or directory$"):
        read_solutions(tmp_path / "nowhere.csv", levels)


@pytest.mark.skipif(not DATA.is_dir(), reason="the published levels are not here")
def test_the_published_solutions_of_5000_levels_are_replayed():
    """99.7% of these rows solve their level; the file itself marks 13 as wrong and one as failed."""
    solutions = read_solutions(
        DATA / "boxoban_solutions" / "medium_valid_000-004.csv",
        open_levels(DATA / "boxoban", "medium", "valid"),
    )
    assert (solutions.rows, solutions.malformed, solutions.unknown) == (5067, 1, 0)
    assert (solutions.unsolved, solutions.repeated, (solutions.moves > 0).sum()) == (13, 67, 4986)

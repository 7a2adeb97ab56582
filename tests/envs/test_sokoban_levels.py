"""Sokoban levels as text: every usual format, and every mistake in one line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sokoban_random import random_level

from drc_lab.envs.sokoban.level import FLOOR, PLAYER, Level, Levels, parse_collection
from drc_lab.errors import ConfigError, UserError

BOARD = """
 ######
##    #
# $.$ #
#  *@##
# ##.#
######
""".strip("\n")


def same(levels, others) -> bool:
    return [str(a) for a in levels] == [str(b) for b in others]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(5, 50), st.integers(5, 50), st.integers(1, 4))
def test_text_and_level_are_the_same_thing(seed, height, width, boxes):
    level = random_level(np.random.default_rng(seed), height, width, boxes)
    again = Level.from_text(str(level))
    assert np.array_equal(again.tiles, level.tiles) and again.tiles.dtype == np.uint8


def test_the_outside_of_the_outer_wall_becomes_wall_and_the_inside_stays():
    level = Level.from_text(BOARD)
    assert str(level) == "\n".join(["#######", "##    #", "# $.$ #", "#  *@##", "# ##.##", "#######"])


def test_indentation_is_no_part_of_a_level():
    indented = "\n".join("    " + row for row in BOARD.split("\n"))
    assert same([Level.from_text(indented)], [Level.from_text(BOARD)])


@pytest.mark.parametrize(
    "other",
    [
        BOARD.replace(" ", "-"),
        BOARD.replace(" ", "_"),
        BOARD.replace("@", "p").replace("$", "b").replace("*", "B"),
        BOARD.replace("\n", "\r\n"),
        "-6#|2#4-#|#-$.$-#|#2-*@2#|#-2#.#|6#",  # run-length coded
        "-2(3(#))|##4-#|\n#-$.$-#|\n#2-*@2#\n#-2(#).#|2(3#)|",
        "A title\n\n" + BOARD + "\nAuthor: someone\nComment:\n####\n#@.#\nComment-End:\n1. uuRRdD\n",
        "; 12\n" + BOARD + "\n\n' a comment with a # in it\n:: and another ::\n-----\n",
        BOARD + "\n-----\nSolution 4\nrrruuL\n",
    ],
)
def test_all_usual_forms_of_a_level_read_alike(other):
    assert same(parse_collection(other, "test"), [Level.from_text(BOARD)])


def test_a_box_on_a_target_may_stand_in_the_outer_wall_and_has_wall_behind_it():
    assert str(Level.from_text("##*##\n#@$.#\n#####")) == "\n".join(
        ["#######", "###*###", "##@$.##", "#######", "#######"]
    )


def test_a_collection_keeps_order_and_tells_levels_apart_by_blank_lines_or_titles():
    levels = [random_level(np.random.default_rng(seed), 6 + seed, 7, 2) for seed in range(5)]
    boxoban = "\n\n".join(f"; {i}\n{level}" for i, level in enumerate(levels))
    assert same(parse_collection(boxoban, "test"), levels)
    assert same(parse_collection(boxoban.replace("\n\n", "\n"), "test"), levels)
    assert same(parse_collection("\n \n".join(map(str, levels)), "test"), levels)


@pytest.mark.parametrize(
    ("board", "message"),
    [
        (
            "#####\n#@$.#\n# xy#\n#####",
            ":1 (two), line 11: found 'x', 'y', allowed: # . * $ @ + space - _ p P b B, or those of env.symbols",
        ),
        ("#####\n# $.#\n#####", ":1 (two), line 9: found no players, allowed: one (@, or + on a target)"),
        ("#####\n#@$.#\n#  +#\n#####", ":1 (two), line 11: found 2 players, allowed: one (@, or + on a target)"),
        ("######\n#@$..#\n######", ":1 (two), line 9: found 1 boxes and 2 targets, allowed: as many targets as boxes"),
        ("#####\n# @ #\n#####", ":1 (two), line 9: found no box, allowed: at least one ($, or * on a target)"),
        ("#####\n# @*#\n#####", ":1 (two), line 9: all boxes are on targets already"),
        ("#####\n#@$.#\n#  \n#####", ":1 (two), line 10: the border is open: '@' in column 2 is reached from outside"),
        ("### #\n#@$.#\n#####", ":1 (two), line 10: the border is open: '.' in column 4 is reached from outside"),
        ("#####\n#@$. \n#####", ":1 (two), line 10: the border is open: '.' in column 4 is reached from outside"),
        ("51#|#@$.46-#|51#", ":1 (two), line 9: found 3 x 51 cells, allowed: up to 50 x 50"),
    ],
)
def test_a_bad_level_is_named_by_file_number_title_line_and_mistake(board, message):
    with pytest.raises(UserError) as error:
        parse_collection(f"; one\n{BOARD}\n; two\n{board}\n\n", "my.xsb")
    assert str(error.value) == "my.xsb" + message


def test_run_length_code_cannot_ask_for_gigabytes():
    assert len(parse_collection(f"{BOARD}\n\n99(99(99(99(99(99#)))))\n", "my.xsb")) == 1


def test_a_title_is_found_before_its_board_or_as_a_property_after_it():
    bad = "####\n#@@#\n####"
    for text, named in [
        (f"Best of\n\nThe first\n\n{bad}", ":0 (The first), line 6"),
        (f"{BOARD}\nTitle: Easy\nAuthor: me\n\n{bad}\nTitle: Hard\n", ":1 (Hard), line 11"),
        (f"Title: Easy\n{BOARD}\n\nTitle: Hard\nAuthor: me\n{bad}", ":1 (Hard), line 12"),
    ]:
        with pytest.raises(UserError) as error:
            parse_collection(text, "my.xsb")
        assert str(error.value).startswith(f"my.xsb{named}: found 2 players")


def test_a_text_without_a_level_and_a_comment_without_an_end_are_told():
    with pytest.raises(UserError, match=r"^my\.xsb: found no level$"):
        parse_collection("; nothing\n\nhere #1\n", "my.xsb")
    with pytest.raises(UserError, match=r"^my\.xsb, line 8: found Comment: without Comment-End:$"):
        parse_collection(f"{BOARD}\n\nComment:\n{BOARD}", "my.xsb")
    with pytest.raises(UserError, match=r"^level: found 2 levels, allowed: one$"):
        Level.from_text(f"{BOARD}\n\n{BOARD}")


def test_tiles_that_are_no_level_are_refused():
    tiles = Level.from_text(BOARD).tiles
    for bad in (tiles[1:], tiles[0], tiles + 7, np.where(tiles == PLAYER, FLOOR, tiles)):
        with pytest.raises(UserError, match=r"^level"):
            Level(bad)


def test_packing_adds_walls_to_the_right_and_below():
    rng = np.random.default_rng(0)
    levels = [random_level(rng, 6, 9, 2), random_level(rng, 8, 5, 2)]
    packed = Levels.pack(levels)
    assert packed.tiles.shape == (2, 8, 9) and packed.optimal.tolist() == packed.pushes.tolist() == [-1, -1]
    for number, level in enumerate(levels):
        back = packed.level(number).tiles
        assert np.array_equal(back[: level.height, : level.width], level.tiles)
        assert back.sum() == level.tiles.astype(int).sum()  # walls are code 0
    assert Levels.pack(levels, height=12, width=11).tiles.shape == (2, 12, 11)
    with pytest.raises(ConfigError, match=r"^height: found 7, allowed: at least 8, that of the largest level$"):
        Levels.pack(levels, height=7)
    with pytest.raises(ConfigError, match=r"^width: found 8, allowed: at least 9"):
        Levels.pack(levels, width=8)


DOS = """
*************************************
Maze: 1
Size X: 22
Length: 50

    XXXXX
    X   X
    X*  X
  XXX  *XXX
  X  *  * X
XXX X XXX X     XXXXXX
X   X XXX XXXXXXX  &&X
X *  *             &&X
XXXXX XXXX X@XXXX  &&X
    X      XXX  XXXXXX
    XXXXXXXX

*************************************
"""
DOS_ROWS = DOS.split("\n")[6:17]
SYMBOLS = {"X": "#", "*": "$", "&": "."}


def test_a_file_in_another_alphabet_has_its_unknown_symbols_listed_and_the_way_named():
    with pytest.raises(UserError) as error:
        parse_collection(DOS, "dos.txt")
    said = str(error.value)
    count = "".join(DOS_ROWS).count("X")
    assert said.startswith(f"dos.txt: found no level, but rows with 'X' ({count}, first in line 7), '&' (6, first in ")
    assert "* box on target" in said and "env.symbols" in said and "\n" not in said
    with pytest.raises(UserError, match=r"dos.txt: found no level, but rows with '&' \(6, first in line 13\), allowed"):
        parse_collection(DOS.replace("X", "-"), "dos.txt")


def test_symbols_say_what_those_of_another_alphabet_stand_for():
    """Titles and comments stay as they are, and a symbol that is mapped has lost its standard meaning."""
    (level,) = parse_collection(DOS, "dos.txt", symbols=SYMBOLS)
    standard = "\n".join(DOS_ROWS).translate(str.maketrans("X*&", "#$."))
    assert same([level], [Level.from_text(standard)]) and str(level).count("$") == str(level).count(".") == 6
    assert same(parse_collection(DOS, "dos.txt", symbols="X=# *=$ &=."), [level])
    swapped = BOARD.translate(str.maketrans("$.", ".$"))
    assert same([Level.from_text(swapped, symbols={"$": ".", ".": "$"})], [Level.from_text(BOARD)])
    digits = "11111\n14321\n10001\n11111"
    assert same(
        [Level.from_text(digits, symbols="0=- 1=# 2=. 3=$ 4=@")], [Level.from_text("#####\n#@$.#\n#   #\n#####")]
    )


@pytest.mark.parametrize(
    "symbols", [{"XY": "#"}, {"X": "wall"}, {"X": "x"}, {"X": ""}, {" ": "#"}, "X", "X=", "X=#&=.", "X #"]
)
def test_symbols_that_are_no_pairs_are_told(symbols):
    with pytest.raises(ConfigError, match=r"^symbols: found .*, allowed: pairs such as 'X=# &=.'"):
        Level.from_text(BOARD, symbols=symbols)

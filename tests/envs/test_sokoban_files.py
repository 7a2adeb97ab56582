"""Sets of Sokoban level files: opened without parsing, in order, with the errors of the general parser."""

import time
import tracemalloc

import numpy as np
import pytest
from sokoban_random import boxoban_text, random_level

from drc_lab.envs.sokoban import files
from drc_lab.envs.sokoban.boxoban import count_levels, parse_boxoban
from drc_lab.envs.sokoban.files import LevelFiles, open_levels
from drc_lab.envs.sokoban.level import Levels, parse_collection
from drc_lab.envs.sokoban.solutions import read_solutions
from drc_lab.envs.streams import FixedLevels
from drc_lab.errors import ConfigError, UserError


@pytest.fixture(scope="module")
def levels():
    rng = np.random.default_rng(0)
    return [random_level(rng, boxes=1 + number % 6) for number in range(120)]


@pytest.fixture
def folder(tmp_path, levels):
    """Three files, written in another order than that of their names."""
    for name, part in (("002", levels[70:]), ("000", levels[:30]), ("001", levels[30:70])):
        (tmp_path / f"{name}.txt").write_text(boxoban_text(part))
    (tmp_path / "LICENSE").write_text("not levels")
    return tmp_path


def test_the_fast_parser_equals_the_general_one(levels):
    text = boxoban_text(levels)
    tiles = parse_boxoban(text.encode())
    assert np.array_equal(tiles, Levels.pack(parse_collection(text, "test")).tiles)
    assert np.array_equal(tiles, Levels.pack(levels).tiles)
    assert np.array_equal(parse_boxoban(text.rstrip().encode()), tiles)


def test_the_fast_parser_takes_nothing_that_the_general_one_refuses(levels):
    """Any one byte of a level changed: either both read the same, or the fast one leaves it to the general one."""
    rng = np.random.default_rng(0)
    text = boxoban_text(levels[:2])
    taken = 0
    for place in range(len(text)):
        changed = text[:place] + rng.choice(list("#.$@ *+x-;\n")) + text[place + 1 :]
        tiles = parse_boxoban(changed.encode())
        if tiles is not None:
            taken += 1
            assert np.array_equal(tiles, Levels.pack(parse_collection(changed, "test")).tiles)
    assert taken > 20


def test_levels_are_counted_without_parsing_only_in_boxoban_files(tmp_path, levels):
    path, text = tmp_path / "000.txt", boxoban_text(levels)
    for told, written in [
        (120, text), (120, text[:-1]), (120, text[:-2]),
        (0, text[:-3]), (0, text.replace("; 0\n", "; 1\n", 1)), (0, text.replace("; 7\n", "; 77\n", 1)),
        (0, text.replace("; 119\n", "; 99999999999\n")), (0, text.replace("\n", "\r\n")), (0, ""), (0, "###\n"),
    ]:  # fmt: skip
        path.write_bytes(written.encode())
        assert count_levels(path) == told, written[:200]


def test_ids_follow_the_sorted_order_of_files_and_the_order_in_them(folder, levels):
    found = open_levels(folder)
    assert len(found) == 120 and (found.height, found.width) == (10, 10)
    ids = np.random.default_rng(0).permutation(120)
    assert np.array_equal(found[ids].tiles, Levels.pack(levels).tiles[ids])
    assert np.array_equal(found[-3:].tiles, Levels.pack(levels[-3:]).tiles)
    assert found[ids].optimal.tolist() == [-1] * 120
    assert [found.name(i) for i in (0, 29, 30, 119)] == [
        f"{folder}/{name}" for name in ("000.txt:0", "000.txt:29", "001.txt:0", "002.txt:49")
    ]
    with pytest.raises(IndexError):
        found[np.array([120])]


def test_a_file_is_parsed_once_and_only_when_one_of_its_levels_is_asked_for(folder, monkeypatch):
    parsed, parse = [], files._parse_file
    monkeypatch.setattr(files, "_parse_file", lambda path, *more: parsed.append(path.name) or parse(path, *more))
    found = open_levels(folder)
    assert parsed == [] and not found.parsed.any()
    found[np.array([35, 60, 35])]
    assert parsed == ["001.txt"] and found.parsed.tolist() == [False, True, False]
    found[np.arange(120)]
    found[:]
    assert parsed == ["001.txt", "000.txt", "002.txt"]


def test_a_set_of_files_stands_in_for_levels_in_a_stream(folder, levels):
    for order in ("sequential", "shuffled"):
        streams = [FixedLevels(source, order, seed=3) for source in (open_levels(folder), Levels.pack(levels))]
        for count in (1, 7, 200):
            (ids, taken, rows), (other_ids, others, other_rows) = (stream.take(count) for stream in streams)
            assert np.array_equal(ids, other_ids)
            assert np.array_equal(taken.tiles[rows], others.tiles[other_rows])


def test_a_folder_may_hold_the_splits_itself_and_they_are_never_mixed(tmp_path, levels):
    for split, size in (("train", 1), ("valid", 2), ("test", 3)):
        (tmp_path / split).mkdir()
        (tmp_path / split / "000.txt").write_text(boxoban_text(levels[:size]))
    assert [len(open_levels(tmp_path, None, split)) for split in ("train", "valid", "test")] == [1, 2, 3]
    for difficulty, split, key in (("train", "valid", "difficulty"), (None, None, "split"), (None, "exam", "split")):
        with pytest.raises(ConfigError) as error:
            open_levels(tmp_path, difficulty, split)
        assert error.value.key == key


def test_levels_of_all_splits_have_the_size_of_the_largest(tmp_path):
    rng = np.random.default_rng(0)
    for split, size in (("train", (6, 7)), ("valid", (9, 5))):
        (tmp_path / split).mkdir()
        (tmp_path / split / "a.xsb").write_text(f"{random_level(rng, *size, 2)}\n")
    opened = [open_levels(tmp_path, None, split) for split in ("train", "valid")]
    assert [(files.height, files.width) for files in opened] == [(9, 7)] * 2


def test_files_of_other_sizes_and_formats_are_padded_to_the_largest_level(tmp_path, levels):
    rng = np.random.default_rng(1)
    small, tall, wide = random_level(rng, 6, 7, 2), random_level(rng, 14, 6, 2), random_level(rng, 5, 12, 2)
    (tmp_path / "a.txt").write_text(boxoban_text(levels[:3]))
    (tmp_path / "b.xsb").write_text(f"Two levels\n\n{small}\n\n{tall}\n")
    (tmp_path / "c.sok").write_text(str(wide).replace(" ", "-"))
    found = open_levels(tmp_path)
    expected = Levels.pack([*levels[:3], small, tall, wide])
    assert (found.height, found.width) == (14, 12) and np.array_equal(found[:].tiles, expected.tiles)
    assert found.name(5).endswith("c.sok:0")
    assert open_levels(tmp_path / "c.sok", height=20, width=20)[:].tiles.shape == (1, 20, 20)
    with pytest.raises(ConfigError, match=r"^height: found 13, allowed: at least 14, that of the largest level in "):
        LevelFiles(tmp_path, height=13)


def test_line_ends_of_windows_change_nothing(tmp_path, levels):
    (tmp_path / "000.txt").write_bytes(boxoban_text(levels).replace("\n", "\r\n").encode())
    assert np.array_equal(open_levels(tmp_path)[:].tiles, Levels.pack(levels).tiles)


def test_a_bad_file_is_named_with_level_and_line_when_it_is_parsed(folder, levels):
    text = boxoban_text(levels[30:70])
    (folder / "001.txt").write_text(text.replace(str(levels[33]), str(levels[33]).translate({64: " ", 43: "."})))
    found = open_levels(folder)
    found[:30]
    with pytest.raises(UserError) as error:
        found[np.array([45])]
    assert str(error.value) == (
        f"{folder}/001.txt:3 (3), line 38: found no players, allowed: one (@, or + on a target)"
        "; env.invalid_levels=skip leaves such levels out"
    )


def broken(level):
    """The level without its player: no longer valid."""
    return str(level).translate({ord("@"): " ", ord("+"): "."})


def test_skipping_leaves_invalid_levels_out_and_nothing_else_changes(folder, levels):
    """Those of Boxoban's files too, which are then read at the start; names keep to the numbers in the file."""
    (folder / "001.txt").write_text(boxoban_text([*levels[30:33], broken(levels[33]), *levels[34:70]]))
    (folder / "003.xsb").write_text(f"Bad\n{broken(levels[0])}\n\nGood\n{levels[1]}\n\nBad\n{broken(levels[2])}\n")
    (folder / "004.xsb").write_text(broken(random_level(np.random.default_rng(0), 20, 20, 1)))
    found = open_levels(folder, invalid_levels="skip")
    kept = [*levels[:33], *levels[34:], levels[1]]
    assert len(found) == 120 and np.array_equal(found[:].tiles, Levels.pack(kept).tiles)
    assert [found.name(i).split("/")[-1] for i in (32, 33, 68, 69, 119)] == [
        "001.txt:2",
        "001.txt:4",
        "001.txt:39",
        "002.txt:0",
        "003.xsb:1",
    ]
    assert [found.find(*place) for place in ((1, 2), (1, 3), (1, 4), (1, 40), (3, 0), (3, 1), (3, 2), (4, 0))] == [
        32, -1, 33, -1, -1, 119, -1, -1
    ]  # fmt: skip
    assert [found.find(*place) for place in ((0, 29), (0, 30), (2, 49))] == [29, -1, 118]
    assert found.note() == (
        f"{folder}: skipped 4 of 124 levels: "
        f"{folder}/001.txt:3 (3), line 38: found no players, allowed: one (@, or + on a target); "
        f"{folder}/003.xsb:0 (Bad), line 2: found no players, allowed: one (@, or + on a target); "
        f"{folder}/003.xsb:2 (Bad), line 26: found no players, allowed: one (@, or + on a target); and 1 more"
    )


def test_skipping_where_all_levels_are_valid_changes_nothing_at_all(folder):
    lazy, found = open_levels(folder), open_levels(folder, invalid_levels="skip")
    assert found.note() == "" and np.array_equal(found[:].tiles, lazy[:].tiles)
    assert np.array_equal(found.starts, lazy.starts) and found.name(45) == lazy.name(45)


def test_where_no_level_is_valid_skipping_is_refused_with_the_first_reason(tmp_path, levels):
    (tmp_path / "a.xsb").write_text(f"{broken(levels[0])}\n\n{broken(levels[1])}")
    with pytest.raises(UserError, match=r": all 2 levels are invalid: .*a\.xsb:0, line 1: found no players"):
        open_levels(tmp_path, invalid_levels="skip")
    with pytest.raises(ConfigError, match=r"^invalid_levels: found 'ignore', allowed: error \| skip$"):
        open_levels(tmp_path, invalid_levels="ignore")


def test_published_solutions_go_by_the_numbers_in_the_file_whatever_was_skipped(tmp_path):
    corridor = "#####\n#@$.#\n#####"
    (tmp_path / "set.xsb").write_text(f"{broken(corridor)}\n\n{corridor}\n\n{corridor}\n")
    (tmp_path / "solutions.csv").write_text("File,Level,Actions\nset,0,1\nset,2,1\n")
    solutions = read_solutions(tmp_path / "solutions.csv", LevelFiles(tmp_path / "set.xsb", invalid_levels="skip"))
    assert solutions.moves.tolist() == [-1, 1] and solutions.unknown == 1


def test_a_file_that_changed_after_it_was_counted_is_told(folder, levels):
    found = open_levels(folder)
    (folder / "001.txt").write_text(boxoban_text(levels[:10]))
    with pytest.raises(UserError, match=r"001\.txt: found 10 levels of 10 x 10 cells, but 40 of up to 10 x 10 when"):
        found[np.array([45])]
    (folder / "002.txt").unlink()
    with pytest.raises(UserError, match=r"002\.txt: No such file or directory$"):
        found[np.array([119])]


def test_parts_of_boxoban_are_opened_by_difficulty_and_split_and_what_is_missing_is_told(tmp_path, levels):
    for number, part in enumerate(("unfiltered/train", "unfiltered/valid", "medium/valid", "hard"), 1):
        (tmp_path / part).mkdir(parents=True)
        (tmp_path / part / "000.txt").write_text(boxoban_text(levels[:number]))
    assert len(open_levels(tmp_path, "unfiltered", "valid")) == 2
    assert len(open_levels(tmp_path, "medium", "valid")) == 3
    assert len(open_levels(tmp_path, "hard")) == 4
    for arguments, key, found, allowed in [
        (("easy", "train"), "difficulty", "'easy'", f"hard | medium | unfiltered, in {tmp_path}"),
        ((None, "train"), "difficulty", "None", f"hard | medium | unfiltered, in {tmp_path}"),
        (("medium", "test"), "split", "'test'", f"valid, in {tmp_path}/medium"),
        (("medium", None), "split", "None", f"valid, in {tmp_path}/medium"),
        (("hard", "valid"), "split", "'valid'", f"null, for {tmp_path}/hard"),
    ]:
        with pytest.raises(ConfigError) as error:
            open_levels(tmp_path, *arguments)
        assert str(error.value) == f"{key}: found {found}, allowed: {allowed}"


def test_a_path_without_levels_is_told_and_a_missing_one_with_the_command_that_fetches_levels(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such .*; python -m drc_lab task=fetch_levels gets"):
        open_levels(tmp_path / "nowhere", "medium", "train")
    (tmp_path / "README").touch()
    with pytest.raises(UserError, match=r": found README, allowed: files that end in \.txt, \.xsb, \.sok$"):
        open_levels(tmp_path)


def test_900_files_of_1000_levels_open_within_a_second_and_fit_into_200_megabytes(tmp_path, levels):
    """Opening reads the ends of each file and parses none. The bounds are those that users were promised."""
    thousand = (levels * 9)[:1000]
    text = boxoban_text(thousand)
    for number in range(900):
        (tmp_path / f"{number:03}.txt").write_text(text)
    seconds = []
    for _ in range(3):  # threads that earlier tests have left may compute meanwhile
        start = time.process_time()
        found = open_levels(tmp_path)
        seconds.append(time.process_time() - start)
    assert len(found) == 900_000 and not found.parsed.any()
    assert min(seconds) < 1, seconds
    tracemalloc.start()
    found = open_levels(tmp_path)
    for level in range(0, 900_000, 1000):
        found[np.array([level])]
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.parsed.all() and held < 200e6
    assert np.array_equal(found[np.array([899_999])].tiles[0], thousand[-1].tiles)

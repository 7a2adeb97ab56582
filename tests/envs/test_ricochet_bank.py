"""Banks: what is collected, what a file keeps, and which files are refused."""

import io
import os

import numpy as np
import pytest

from drc_lab.envs.levels import SPLITS, split_of
from drc_lab.envs.ricochet import BoardGenerator
from drc_lab.envs.ricochet.bank import AXES, load_bank, read_bank, save_bank
from drc_lab.envs.ricochet.collect import BankSpec, counts, make_bank
from drc_lab.envs.ricochet.identity import identities
from drc_lab.envs.ricochet.solve import robots_moved, solve_many
from drc_lab.errors import ConfigError, UserError

NAMES = [name for name in AXES if name != "version"]


@pytest.fixture(scope="module")
def bank():
    return make_bank(BoardGenerator(5, 5, 3, max_optimal=4), BankSpec(per_bin=60, max_draws=2000))


def same(one, two):
    for name in NAMES:
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def arrays(bank):
    return {"version": 1} | {name: getattr(bank, name).copy() for name in NAMES}


def test_a_bank_has_distinct_boards_up_to_its_size_for_each_optimum(bank):
    assert np.bincount(bank.optimal).tolist() == [0, 60, 60, 60, 60]
    assert len(set(identities(bank).tolist())) == 240
    np.testing.assert_array_equal(solve_many(bank)[0], bank.optimal)
    np.testing.assert_array_equal(robots_moved(bank), bank.moved)
    assert {split_of(number) for number in identities(bank)} == {0, 1, 2}
    found = counts(bank)
    assert list(found) == [1, 2, 3, 4] and all(moved.total() == 60 for moved in found.values())
    assert found[1] == {1: 60} and found[4][2] == ((bank.optimal == 4) & (bank.moved == 2)).sum()


def test_a_bank_without_a_last_bin_ends_with_its_draws_and_threads_change_nothing():
    generator, told = BoardGenerator(4, 4, 2, min_optimal=3), []
    one = make_bank(generator, BankSpec(5, 200), 1, lambda *args: told.append(args))
    same(one, make_bank(generator, BankSpec(5, 200, threads=2), 1))
    assert one.optimal.min() == 3 and max(np.bincount(one.optimal)) <= 5
    draws = [done for what, done, total in told if what == "drawing boards" and total == 200]
    assert draws == [64, 128, 192, 200] and told[-1][1:] == (len(one), len(one))
    assert (make_bank(generator, BankSpec(5, 200), 2).walls != one.walls[:1]).any()


def test_boards_that_are_drawn_twice_are_kept_once():
    few = make_bank(BoardGenerator(2, 3, 1), BankSpec(per_bin=1000, max_draws=1000))
    assert len(few) == len(set(identities(few).tolist())) < 500


def test_a_bank_comes_back_from_its_file_as_it_was(bank, tmp_path):
    path = tmp_path / "new" / "some.npz"
    save_bank(path, bank)
    back = read_bank(path)
    same(back, bank)
    assert [getattr(back, name).dtype for name in NAMES] == [getattr(bank, name).dtype for name in NAMES]
    assert os.listdir(path.parent) == ["some.npz"]
    before = path.read_bytes()
    save_bank(path, bank)
    assert path.read_bytes() == before


def test_boards_are_selected_by_optimum_robots_moved_and_split(bank, tmp_path):
    path = tmp_path / "bank.npz"
    bank = bank[:]
    bank.moved = bank.moved.copy()
    bank.moved[0] = -1
    save_bank(path, bank)
    assert len(load_bank(path)) == 240
    assert set(load_bank(path, 2, 3).optimal.tolist()) == {2, 3}
    assert set(load_bank(path, min_moved=2).moved.tolist()) == {2, 3}
    assert (
        load_bank(path, max_moved=1).moved.tolist().count(1)
        == len(load_bank(path, max_moved=1))
        == (bank.moved == 1).sum()
    )
    parts = [load_bank(path, split=split) for split in SPLITS]
    assert sum(map(len, parts)) == 240
    for index, part in enumerate(parts):
        assert {split_of(number) for number in identities(part)} == {index}
    with pytest.raises(
        UserError, match=r"bank.npz: none of its 240 boards has optimal 9\.\., moved 1\.\.2, split None"
    ):
        load_bank(path, min_optimal=9, max_moved=2)
    with pytest.raises(ConfigError, match="split"):
        load_bank(path, split="all")


def changed(name, change):
    def write(path, bank):
        values = arrays(bank)
        values[name] = change(values[name])
        np.savez(path, **values)

    return write


def edited(name, place, value):
    def change(array):
        array = array.astype(np.int64)
        array[place] = value
        return array

    return changed(name, change)


def whole(bank):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays(bank))
    return file.getvalue()


def without_goals(path, bank):
    np.savez(path, **{name: array for name, array in arrays(bank).items() if name != "goal"})


BAD_FILES = {
    "no such file": lambda path, bank: None,
    "not a whole bank file": lambda path, bank: path.write_bytes(b"nonsense"),
    "not a whole bank file ": lambda path, bank: path.write_bytes(whole(bank)[:-200]),
    "not a whole bank file  ": lambda path, bank: path.write_bytes(b""),
    "not a whole bank file   ": lambda path, bank: np.savez(path, walls=np.array([{}], object)),
    "not a whole bank file    ": lambda path, bank: path.write_bytes(whole(bank).replace(b"\x78", b"\x77")),
    "found no version": lambda path, bank: np.savez(path, x=1),
    "found no goal": without_goals,
    "found version 2, allowed: 1": changed("version", lambda version: 2),
    "found walls float64": changed("walls", lambda walls: walls.astype(float)),
    "found robots int64 .240., allowed: integers, 2 axes": changed("robots", lambda robots: robots[:, 0]),
    "damaged, its arrays have": changed("goal", lambda goal: goal[1:]),
    "damaged, the border of a board is open": edited("walls", (3, 0, 2), 0),
    "damaged, a wall has one side only": edited("walls", (3, 2, 2), 15),
    "damaged, a robot is off the board": edited("robots", (3, 0), 25),
    "damaged, two robots share a cell": edited("robots", 5, 7),
    "damaged, goal is out of range": edited("goal", 5, -1),
    "damaged, target is out of range": edited("target", 5, 3),
    "damaged, optimal is out of range": edited("optimal", 5, 0),
    "damaged, moved is out of range": edited("moved", 5, 4),
    "damaged, a target robot is absent": edited("robots", 5, -1),
}


@pytest.mark.parametrize("message", BAD_FILES)
def test_files_that_are_no_bank_are_refused_in_one_line_that_names_them(message, bank, tmp_path):
    path = tmp_path / "some.npz"
    BAD_FILES[message](path, bank)
    with pytest.raises(UserError, match=rf"some\.npz: {message.strip()}") as error:
        load_bank(path)
    assert "\n" not in str(error.value)


def test_a_bank_that_cannot_be_written_leaves_nothing_behind(bank, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"file/some\.npz"):
        save_bank(tmp_path / "file" / "some.npz", bank)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(UserError, match=r"folder\.npz"):
        save_bank(tmp_path / "folder.npz", bank)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.npz"]


@pytest.mark.parametrize("key", ["per_bin", "max_draws", "max_states", "threads"])
def test_numbers_that_cannot_work_name_the_key(key):
    with pytest.raises(ConfigError) as error:
        BankSpec(**{key: 0})
    assert error.value.key == key

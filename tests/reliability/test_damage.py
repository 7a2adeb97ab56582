"""Files that a disk or a copy damaged: cut at each tenth of their length, or with one byte changed at 100 places."""

import math
import random
import re
import shlex
import shutil
import subprocess

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
import torch
from commands import run, run_here
from counting import Counting
from omegaconf import OmegaConf
from trainings import ALL_STATE, recorded, same

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.app.as_trained import recorded_config
from drc_lab.checksums import fault_in_zip
from drc_lab.envs.ricochet import BoardGenerator
from drc_lab.envs.ricochet.bank import AXES, read_bank, save_bank
from drc_lab.envs.ricochet.collect import BankSpec, make_bank
from drc_lab.errors import UserError, note
from drc_lab.evaluation.kinds.first_passes import BASELINE
from drc_lab.evaluation.play.parts import Parts
from drc_lab.evaluation.play.sweep import sweep
from drc_lab.learning.checkpoints import read_checkpoint
from drc_lab.tracking.journal import FILE, Journal

CUTS, FLIPS = 10, 100


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder where a small training ran."""
    folder = tmp_path_factory.mktemp("trained")
    process = run(folder, *ALL_STATE)
    assert process.returncode == 0, process.stderr
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of that folder, to be damaged."""
    return shutil.copytree(trained, tmp_path / "copy")


def damaged(path, seed=0):
    """Damages a file in each way, one after the other, and yields a word for the damage. In the end it is whole."""
    whole, chance = path.read_bytes(), random.Random(seed)
    cuts = [("cut", len(whole) * tenth // CUTS) for tenth in range(CUTS)]
    for how, place in cuts + [("flip", chance.randrange(len(whole))) for _ in range(FLIPS)]:
        content = bytearray(whole[:place] if how == "cut" else whole)
        if how == "flip":
            content[place] ^= chance.randrange(1, 256)
        path.write_bytes(content)
        note.cache_clear()  # it prints each line once
        yield f"{how} at {place}"
    path.write_bytes(whole)


def one_line(error, *parts):
    text = str(error.value)
    assert "\n" not in text and all(part in text for part in parts), text


# --- checkpoints ---


def test_a_damaged_checkpoint_is_named_and_the_newest_whole_one_is_offered(folder):
    path = folder / "run/checkpoints/last.ckpt"
    others = {other.name: read_checkpoint(other)["frames"] for other in path.parent.glob("frames-*.ckpt")}
    newest = max(others, key=others.get)
    offer = f"the newest whole one beside it is {newest}, of {others[newest]:,} frames. Go on with it:  resume="
    for damage in damaged(path):
        with pytest.raises(UserError) as error:
            read_checkpoint(path, "resume")
        one_line(error, f"resume: '{path}' ", "damaged", offer + str(path.parent / newest))
        assert fault_in_zip(path) or damage == "cut at 0"
    assert read_checkpoint(path)["frames"] == 2560


def test_a_checkpoint_of_another_name_and_folder_has_its_checksum(folder, tmp_path):
    path = shutil.copy(folder / "run/checkpoints/best.ckpt", tmp_path / "mine.pt")
    for _ in damaged(path, seed=1):
        with pytest.raises(UserError, match="damaged") as error:
            read_checkpoint(path)
        one_line(error, f"checkpoint: '{path}' ")
        assert "beside it" not in str(error.value)  # these may be of other trainings
    for mapped in (False, True):
        loaded = torch.load(path, weights_only=True, mmap=mapped)
        same(loaded | {"state_dict": dict(loaded["state_dict"])}, read_checkpoint(path), "torch")


def test_a_checkpoint_without_a_checksum_is_loaded_and_its_records_are_checked(folder, tmp_path):
    state, path = read_checkpoint(folder / "run/checkpoints/last.ckpt"), tmp_path / "old.ckpt"
    torch.save(state, path)
    same(read_checkpoint(path), state, "old")
    found = 0
    for damage in damaged(path, seed=2):
        try:
            loaded = read_checkpoint(path)
        except UserError as error:
            assert "\n" not in str(error)
            found += 1
        else:
            same(loaded, state, damage)  # what was changed means nothing
    assert found >= CUTS + 0.8 * FLIPS


def test_of_several_damaged_checkpoints_none_is_offered(folder):
    checkpoints = folder / "run/checkpoints"
    for path in checkpoints.glob("*.ckpt"):
        content = path.read_bytes()
        path.unlink()  # of its second name
        path.write_bytes(content[:-1])
    with pytest.raises(UserError, match=r"no other checkpoint beside it is whole; resume=never begins anew$"):
        read_checkpoint(checkpoints / "last.ckpt", "resume")


def test_a_training_goes_on_from_the_checkpoint_that_is_offered(trained, folder, monkeypatch, capsys):
    last = folder / "run/checkpoints/last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    monkeypatch.chdir(folder)
    code, _, errors = run_here(monkeypatch, capsys, *ALL_STATE)
    assert code == 2 and errors.count("\n") == 1 and "run/checkpoints/last.ckpt' is damaged" in errors, errors
    assert last.read_bytes() == content
    words = shlex.split(re.search("Go on with it:  (.*)", errors)[1])
    code, _, errors = run_here(monkeypatch, capsys, *words[3:])
    assert (code, errors) == (0, "")
    found, wanted = recorded(folder / "run", here=True), recorded(trained / "run", here=True)
    for state in [*found["checkpoints"].values(), *wanted["checkpoints"].values()]:
        del state["config"]["resume"]
    same(found, wanted, "gone on")


def test_without_its_last_checkpoint_a_training_goes_on_from_the_newest_and_never_throws_one_away(
    trained, folder, monkeypatch, capsys
):
    checkpoints = folder / "run/checkpoints"
    (checkpoints / "last.ckpt").unlink()
    (checkpoints / "best.ckpt").unlink()
    monkeypatch.chdir(folder)
    code, output, errors = run_here(monkeypatch, capsys, *ALL_STATE)
    assert (code, errors) == (0, "") and "has no last.ckpt; the training goes on from frames-" in output, output
    same(recorded(folder / "run", here=True), recorded(trained / "run", here=True), "gone on")
    for path in checkpoints.iterdir():
        path.write_bytes(b"PK\x03\x04") if path.name.startswith("frames") else path.unlink()
    left = sorted(checkpoints.iterdir())
    code, _, errors = run_here(monkeypatch, capsys, *ALL_STATE)
    assert code == 2 and "found no whole checkpoint in" in errors and errors.count("\n") == 1, errors
    assert sorted(checkpoints.iterdir()) == left


# --- the journal ---


def rows(path):
    with Journal(path) as journal:
        return [operation for operation, _ in journal.read(0, notes=True)]


def blank_out(message):
    subprocess.run(message.split("without that line:  ")[1], shell=True, check=True)


def test_a_damaged_journal_has_its_whole_rows_or_names_the_damaged_one(folder, capsys):
    path = folder / "run" / FILE
    content, whole = path.read_bytes(), rows(path)
    for damage in damaged(path):
        harmed = path.read_bytes()
        try:
            found = rows(path)
        except UserError as error:
            assert "\n" not in str(error) and f"{path}: damaged before byte" in str(error), damage
            lost = content[: int(damage.split()[-1])].count(b"\n")
            blank_out(str(error))
            if harmed.count(b"\n") > len(whole):  # the byte became the end of a line, and both halves are damaged
                with pytest.raises(UserError) as second:
                    rows(path)
                blank_out(str(second.value))
            assert path.stat().st_size == len(content)  # MLflow's position counts bytes
            merged = harmed.count(b"\n") < len(whole)  # it was the end of a line
            same(rows(path), whole[:lost] + whole[lost + 1 + merged :], damage)
        else:
            if harmed.endswith(b"\n"):
                assert damage.startswith("cut"), damage
            same(found, whole[: len(found)], damage)
            assert len(found) == harmed.count(b"\n")
            told = capsys.readouterr().err
            assert harmed.endswith(b"\n") or (told.count("\n") == 1 and str(path) in told), damage


def test_lines_without_a_checksum_are_read(tmp_path):
    path = tmp_path / FILE
    with Journal.new(path) as journal:
        journal.add("metrics", step=1, values={"a": 1.0})
    written = rows(path)
    old = re.sub(rb', "crc": "\w+"', b"", path.read_bytes())
    path.write_bytes(old)
    assert rows(path) == written
    with Journal(path) as journal:
        journal.add("metrics", step=2, values={"a": math.inf, "crc": 1.0})
    assert rows(path)[-1]["values"] == {"a": math.inf, "crc": 1.0} and path.read_bytes().startswith(old)
    path.write_bytes(path.read_bytes() + old.splitlines(keepends=True)[-1])
    with pytest.raises(UserError, match="damaged before byte"):
        rows(path)


def test_a_training_with_a_damaged_journal_ends_before_it_begins(folder, monkeypatch, capsys):
    path = folder / "run" / FILE
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    monkeypatch.chdir(folder)
    for words in (ALL_STATE, ["task=sync", "folder=run"]):
        code, _, errors = run_here(monkeypatch, capsys, *words)
        assert code == 2 and errors.count("\n") == 1 and f"{FILE}: damaged before byte" in errors, errors
    for size in (0, 30):
        path.write_bytes(content[:size])
        code, _, errors = run_here(monkeypatch, capsys, "task=sync", "folder=run")
        assert code == 2 and "was recorded without MLflow" in errors and "Traceback" not in errors, errors


# --- what an evaluation has played, banks, configs ---


def test_a_damaged_part_of_an_evaluation_is_played_again_and_that_is_said(tmp_path, capsys):
    env = gym.make_vec(
        "drc_lab/RicochetRobots-v0", num_envs=4, layout="v1", max_steps=2, order="sequential", autoreset=False
    )
    parts, depends_on = Parts(tmp_path), {"weights": "a"}
    records = sweep(Counting(7), env, [BASELINE], 4)
    parts.write(BASELINE, range(4), depends_on, records)
    (path,) = tmp_path.iterdir()
    pd.testing.assert_frame_equal(pd.read_parquet(path), records)
    for damage in damaged(path):
        assert parts.read(BASELINE, range(4), depends_on) is None, damage
        assert capsys.readouterr().err == f"drc_lab: {path} is damaged; its levels are played again\n", damage
    pd.testing.assert_frame_equal(parts.read(BASELINE, range(4), depends_on), records)


def test_a_damaged_bank_is_refused_in_one_line(tmp_path):
    path, bank = tmp_path / "some.npz", make_bank(BoardGenerator(5, 5, 3, max_optimal=2), BankSpec(per_bin=20))
    save_bank(path, bank)
    found = 0
    for damage in damaged(path):
        try:
            read = read_bank(path)
        except UserError as error:
            assert "\n" not in str(error) and str(error).startswith(f"{path}: "), damage
            found += 1
        else:
            for name in AXES.keys() - {"version"}:  # what was changed means nothing
                np.testing.assert_array_equal(getattr(read, name), getattr(bank, name), damage)
    assert found >= CUTS + 0.8 * FLIPS


def test_a_damaged_config_is_not_read_and_that_is_said(folder, capsys):
    path = folder / "run/config.yaml"
    whole = OmegaConf.load(path)
    assert recorded_config(path) == whole
    for damage in damaged(path):
        found, told = recorded_config(path), capsys.readouterr().err
        if found is None:
            assert told.count("\n") == 1 and str(path) in told, damage
        else:
            assert found == whole, damage  # a byte of the remark that has the checksum
    path.write_text(OmegaConf.to_yaml(whole))  # as older versions did
    assert recorded_config(path) == whole

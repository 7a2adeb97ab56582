"""What is no regular file, or is empty, huge or forbidden, gets one line at once from whatever loads it."""

import os
import resource
import time

import psutil
import pytest
from omegaconf import OmegaConf
from published_files import drc, written

from drc_lab.app.as_trained import as_recorded
from drc_lab.deploy.formats import runner
from drc_lab.deploy.step import PolicyStep
from drc_lab.envs.ricochet.bank import read_bank
from drc_lab.envs.sokoban.files import LevelFiles
from drc_lab.envs.sokoban.solutions import read_solutions
from drc_lab.errors import UserError
from drc_lab.evaluation.kinds.first_passes import BASELINE
from drc_lab.evaluation.play.parts import Parts
from drc_lab.interpretation.recording import Recording
from drc_lab.learning.checkpoints import load_policy
from drc_lab.models.published import read
from drc_lab.tracking.journal import Journal

LEVEL = "#####\n#@$.#\n#####\n"
SECONDS = 3.0  # on a busy machine


@pytest.fixture(autouse=True)
def little_memory():
    """Whoever reads without end gets a MemoryError, and the machine is spared."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (psutil.Process().memory_info().data + 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


def sparse(path):
    with path.open("wb") as file:
        file.truncate(2**31 + 1)


ODD = {
    "a named pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": lambda path: path.mkdir(),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nowhere": lambda path: path.symlink_to(path.with_name("nowhere")),
    "2 GiB of nothing": sparse,
    "an empty file": lambda path: path.touch(),
}
if os.geteuid() != 0:  # to root nothing is forbidden
    ODD["a forbidden file"] = lambda path: (path.touch(), path.chmod(0))


def levels(path):
    LevelFiles(path)[:1]


def solutions(path):
    (path.parent / "000.txt").write_text(LEVEL)
    read_solutions(path, LevelFiles(path.parent / "000.txt"))


def weights(name):
    def within(path):
        folder = written(path.parent / "cp")
        (folder / name).unlink()
        path.rename(folder / name)
        read(folder)

    return within


def recording(path):
    folder = path.parent / "recording"
    folder.mkdir()
    path.rename(folder / "recording.json")
    Recording.read(folder)


def exported(format):
    def within(path):
        step = PolicyStep(drc())
        runner(format, path, step.interface, step.policy)

    return within


def recorded(path):
    (path.parent / "checkpoints").mkdir()
    path.rename(path.parent / "config.yaml")
    if as_recorded(OmegaConf.create({"policy": {}}), str(path.parent / "checkpoints/best.ckpt")) is None:
        raise UserError("left out")  # the config in the checkpoint is used


def kept(path):
    path.rename(path.parent / f"{BASELINE.name}.0000000.parquet")
    if Parts(path.parent).read(BASELINE, range(4), None) is None:
        raise UserError("left out")  # the levels are played again


LOADERS = {
    "a checkpoint": load_policy,
    "weights as .npz": lambda path: read(path.rename(path.with_suffix(".npz"))),
    "weights of torch": lambda path: read(path.rename(path.with_suffix(".pt"))),
    "weights of flax": weights("model"),
    "the config of weights": weights("cfg.json"),
    "a bank": read_bank,
    "levels": levels,
    "solutions": solutions,
    "a recording": recording,
    "an exported state_dict": exported("state_dict"),
    "an exported onnx": exported("onnx"),
    "the config of a run": recorded,
    "a kept part": kept,
    "a journal": Journal,
}


EMPTY_IS_VALID = ["a journal"]


@pytest.mark.parametrize(
    ("load", "odd"),
    [
        pytest.param(load, odd, id=f"{odd} for {name}")
        for name, load in LOADERS.items()
        for odd in ODD
        if not (odd == "an empty file" and name in EMPTY_IS_VALID)
    ],
)
def test_whatever_loads_it_gives_one_line_at_once(tmp_path, load, odd):
    path = tmp_path / "odd"
    ODD[odd](path)
    began = time.monotonic()
    with pytest.raises(UserError) as error:
        load(path)
    assert time.monotonic() - began < SECONDS
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


def test_a_folder_of_levels_leaves_out_what_is_no_file(tmp_path):
    for name in ("a named pipe", "a device", "a folder", "a link to itself", "a link to nowhere"):
        ODD[name](tmp_path / f"{name}.txt")
    (tmp_path / "000.txt").write_text(LEVEL)
    assert len(LevelFiles(tmp_path)) == 1


@pytest.mark.parametrize("name", ["a\0b", "a" * 5000], ids=["null", "long"])
@pytest.mark.parametrize("load", [read_bank, LevelFiles, load_policy, read])
def test_a_name_that_no_file_can_have_gets_one_line(tmp_path, load, name):
    with pytest.raises(UserError) as error:
        load(tmp_path / name)
    assert "\n" not in str(error.value)

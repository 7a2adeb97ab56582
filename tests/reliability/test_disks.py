"""A disk that is full or read-only, at each kind of write: one line, the exit code, and what is left."""

import itertools
import json
import os
import re

import pytest
from checkpoints import checkpoint
from commands import run, run_here
from faults import limited_to
from trainings import ALL_STATE, recorded, same

from drc_lab.learning.checkpoints import read_checkpoint

FULL, READ_ONLY = os.strerror(28), os.strerror(30)
EVALUATE = ["task=evaluate", "threads=1", "evaluation.num_levels=12", "env.max_steps=6", "thinking.controls=[random]",
            "tracking=[]", "report.video=side_by_side.gif", "folder=out"]  # fmt: skip
JOURNAL_ALONE = ["evaluation.every_frames=2560", "checkpoints.every_frames=2560", "algo.log_every_rollouts=1"]
VIDEOS = ["callbacks.videos={_target_: drc_lab.learning.videos.EpisodeVideos, levels: 1, every_frames: 640}"]


@pytest.fixture
def run_on(disk, monkeypatch, capsys):
    """A command in this process, in a folder of the small disk: exit code and complaint."""

    def run_on(*words):
        monkeypatch.chdir(disk.path)
        code, _, errors = run_here(monkeypatch, capsys, *words)
        return code, errors

    return run_on


def refused(found, code, file, why=FULL):
    """One line that names the file."""
    assert found[0] == code and re.fullmatch(rf"drc_lab: .*{file}: {why}\n", found[1]), found


def unfinished(folder):
    """Files that are half-written or temporary."""
    return [path for path in folder.rglob("*") if re.search(r"unfinished|\.part|\.tmp|^tmp", path.name)]


def status(folder):
    lines = [json.loads(line) for line in (folder / "tracking.jsonl").read_bytes().splitlines()]
    return [line["status"] for line in lines if line["op"] == "status"][-1]


# --- trainings ---


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What a training leaves whose disk has room."""
    folder = tmp_path_factory.mktemp("whole")
    process = run(folder, *ALL_STATE)
    assert process.returncode == 0, process.stderr
    return recorded(folder / "run", here=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "call", "file", "more"),
    [
        ("drc_lab.learning.checkpointing:AtomicCheckpointIO.save_checkpoint", 7, r"checkpoints/[\w-]+\.ckpt", []),
        ("drc_lab.learning.checkpointing:link", 3, r"checkpoints/[\w-]+\.ckpt", []),
        ("drc_lab.tracking.journal:Journal.add", 12, r"tracking\.jsonl", JOURNAL_ALONE),
        ("drc_lab.tasks.train:sealed", 1, r"config\.yaml", []),
        ("drc_lab.learning.videos:write_video", 2, r"videos/frames-\d+\.gif", VIDEOS),
    ],
)
def test_a_training_whose_disk_is_full_ends_in_one_line_and_goes_on_when_there_is_room(
    disk, run_on, at, whole, place, call, file, more
):
    at(place, call, disk.fill)
    refused(run_on(*ALL_STATE, *more), 1, file)
    at.undo()
    folder = disk.path / "run"
    assert not unfinished(disk.path)
    if file != r"tracking\.jsonl":
        assert status(folder) == "FAILED"
    if more != JOURNAL_ALONE and call > 1:
        assert read_checkpoint(folder / "checkpoints/last.ckpt")["frames"] > 0
    disk.free()
    assert run_on(*ALL_STATE, *more) == (0, "")
    if not more:
        same(recorded(folder, here=True), whole, place)


@pytest.mark.slow
def test_a_training_whose_disk_becomes_read_only_leaves_its_last_checkpoint(disk, run_on, at):
    at("drc_lab.learning.checkpointing:AtomicCheckpointIO.save_checkpoint", 7, disk.make_read_only)
    refused(run_on(*ALL_STATE), 1, r"checkpoints/[\w-]+\.ckpt", READ_ONLY)
    assert read_checkpoint(disk.path / "run/checkpoints/last.ckpt")["frames"] > 0
    assert not unfinished(disk.path) and status(disk.path / "run") == "FAILED"
    at.undo()
    refused(run_on(*ALL_STATE), 2, r"tracking\.jsonl", READ_ONLY)  # to go on there is a mistake


@pytest.mark.slow
def test_files_that_may_not_be_so_large_are_refused_in_one_line_without_root_too(tmp_path):
    fault = ("drc_lab.learning.checkpointing:AtomicCheckpointIO.save_checkpoint", 3, limited_to(50_000))
    process = run(tmp_path, *ALL_STATE, interruption=fault)
    refused((process.returncode, process.stderr), 1, r"[\w-]+\.ckpt", "File too large")
    assert not unfinished(tmp_path) and status(tmp_path / "run") == "FAILED"
    assert read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")["frames"] > 0


@pytest.mark.slow
def test_a_training_goes_on_while_the_disk_of_its_database_is_full_and_sync_sends_the_rest(
    disk, tmp_path, monkeypatch, capsys, at
):
    monkeypatch.chdir(tmp_path)
    words = [word for word in ALL_STATE if word not in ("tracking=[]", "root=.")]
    sends = itertools.count(1)
    at("drc_lab.tracking.to_mlflow:MLflowSink.send", None, lambda *_: next(sends) > 5 and disk.fill())
    code, output, errors = run_here(
        monkeypatch,
        capsys,
        *words,
        f"root={disk.path}",
        "tracking.patience_seconds=0",
        "tracking.system_metrics_seconds=null",
    )
    assert (code, errors) == (0, "") and " does not have all of it." in output, (code, output, errors)
    assert output.count("is away, the run goes on") == 1 and recorded(tmp_path / "run")["status"] == "FINISHED"
    at.undo()
    disk.free()
    code, output, errors = run_here(monkeypatch, capsys, "task=sync", "folder=run")
    assert (code, errors) == (0, "") and "MLflow has all of it" in output, (output, errors)


def test_a_store_that_cannot_be_made_is_told_before_the_training(disk, run_on):
    words = [word for word in ALL_STATE if word != "tracking=[]"]
    disk.fill()
    code, errors = run_on(*words)
    assert code == 2 and errors.count("\n") == 1 and "Traceback" not in errors, errors
    disk.free()
    disk.make_read_only()
    code, errors = run_on(*words)
    assert code == 2 and errors.count("\n") == 1 and READ_ONLY in errors, errors
    assert not list(disk.path.iterdir())


# --- other tasks ---


@pytest.mark.slow
def test_an_evaluation_whose_disk_is_full_goes_on_where_it_was(disk, run_on, at, tmp_path):
    words = [*EVALUATE, checkpoint(tmp_path / "a.ckpt", "env.max_optimal=1")]
    out = disk.path / "out"
    for place, call, file in [
        ("drc_lab.evaluation.play.sweep:Parts.write", 2, r"parts/[\w=.]+\.parquet"),
        ("drc_lab.studies.reporting:write_report", 1, r"(levels\.parquet|findings/[\w.]+|thinking\.\w+|report\.html)"),
    ]:
        at(place, call, disk.fill)
        refused(run_on(*words), 1, file)
        at.undo()
        disk.free()
        assert not unfinished(disk.path) and status(out) == "FAILED" and not (out / "thinking.csv").exists()
        assert len(list((out / "parts").iterdir())) == (1 if call == 2 else 2)
    before = {path: path.stat().st_mtime_ns for path in (out / "parts").iterdir()}
    assert run_on(*words) == (0, "")
    assert before == {path: path.stat().st_mtime_ns for path in (out / "parts").iterdir()}
    assert (out / "thinking.csv").is_file() and status(out) == "FINISHED"


WRITTEN = {  # arguments of the task, the call right before the write, the file
    "weights": (["task=export", "format=state_dict"], "drc_lab.tasks.export:write", r"policy\.[\w.]+"),
    "torch_export": (["task=export", "format=torch_export"], "drc_lab.tasks.export:write", r"policy\.[\w.]+"),
    "flax": (["task=export", "format=flax"], "drc_lab.tasks.export:write", r"policy"),
    "onnx": (["task=export", "format=onnx"], "drc_lab.tasks.export:write", r"policy\.[\w.]+"),
    "table": (["task=export", "format=state_dict"], "drc_lab.tasks.export:write_csv", r"export\.csv"),
    "recording": (["task=probe"], "drc_lab.interpretation.recorder:Recorder.shard", r"\d+\.safetensors"),
}

EXPORTED = {"table": ["policy.pt", "policy.bf16.pt", "policy.json"]}  # before


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITTEN)
def test_what_does_not_fit_on_the_disk_is_not_there_at_all(disk, run_on, at, tmp_path, kind):
    words, place, file = WRITTEN[kind]
    small = ["evaluation.num_levels=12", "env.max_steps=6", "env.max_optimal=1", "policy.top_to_bottom=true",
             "policy.pool_projection=per_channel", "policy.encoding_to_head=add"]  # fmt: skip
    where = checkpoint(tmp_path / "a.ckpt", *small)
    words = [*words, where, "threads=1", "tracking=[]", "folder=out", "probe.levels=20"]
    at(place, 1, disk.fill)
    refused(run_on(*words), 1, file)
    assert not unfinished(disk.path)
    left = {path.name for path in disk.path.rglob("*") if path.is_file()} - {"filler"}
    assert left <= {"tracking.jsonl", "recording.json", *EXPORTED.get(kind, [])}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # imageio-ffmpeg leaves a broken pipe
def test_a_bank_and_a_video_that_do_not_fit_are_not_there_at_all(disk, run_on, at, tmp_path):
    small = ["task=make_bank", "bank.path=banks/some.npz", "env.height=4", "env.width=4", "env.max_optimal=2",
             "bank.per_bin=200", "bank.max_draws=2000", "threads=1"]  # fmt: skip
    at("drc_lab.tasks.make_bank:save_bank", 1, disk.fill)
    refused(run_on(*small), 1, r"banks/some\.npz")
    assert not list((disk.path / "banks").iterdir())
    disk.free()
    for name in ("a.gif", "a.mp4"):
        at("drc_lab.tasks.play:write_video", 1, disk.fill)
        words = ["task=play", checkpoint(tmp_path / "a.ckpt"), "threads=1", "play.show=none", "folder=out"]
        found = run_on(*words, f"play.video={name}")
        assert found[0] == 1 and re.fullmatch(rf"drc_lab: \S*{name}: .*\n", found[1]), found
        assert not (disk.path / "out").exists() and not unfinished(disk.path)
        disk.free()


def test_a_folder_that_is_read_only_from_the_beginning_is_a_mistake(disk, run_on, tmp_path):
    where = checkpoint(tmp_path / "a.ckpt", "evaluation.num_levels=12")
    (disk.path / "out").mkdir()
    disk.make_read_only()
    for words, file in [
        (["tracking=[]", "folder=out"], r"out/tracking\.jsonl"),
        (["tracking=[]", "folder=new"], r"folder: \S*new"),
        (["task=evaluate", where, "tracking=[]", "folder=out"], r"out/tracking\.jsonl"),
        (["task=export", where, "format=state_dict", "folder=out"], r"out/policy\.pt"),
        (["task=play", where, "play.show=none", "folder=out"], r"out/play\.gif"),
        (["task=make_bank", "bank.path=some.npz", "folder=out"], r"some\.npz"),
    ]:
        refused(run_on(*words, "threads=1"), 2, file, READ_ONLY)

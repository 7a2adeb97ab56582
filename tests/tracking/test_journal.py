"""The journal: what was recorded is there once, whenever the process was killed."""

import contextlib
import math
import resource
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from drc_lab.errors import UserError
from drc_lab.tracking.journal import FILE, Journal

RECORD = """
import sys
from pathlib import Path
from drc_lab.tracking.journal import Journal
journal = Journal.new(Path(sys.argv[1]), run_id=None)
for step in range(10**6):  # an end, should nobody kill it
    journal.add("metrics", step=step, values={"a": step / 7, "b": float("nan")})
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / FILE


def test_what_is_no_file_is_not_read_without_end(path):
    path.symlink_to("/dev/zero")
    with pytest.raises(UserError, match="found a device, allowed: a regular file"):
        Journal(path)


@pytest.fixture
def opened():
    """Opens journals that are closed at the test's end."""
    with contextlib.ExitStack() as stack:
        yield lambda journal: stack.enter_context(journal)


def kept(journal):
    """All points in order: name, step, value as text (one NaN is not another)."""
    metrics = [o for o, _ in journal.read(0) if o["op"] == "metrics"]
    return [(name, o["step"], repr(value)) for o in metrics for name, value in o["values"].items()]


def test_a_point_is_kept_once_across_processes_and_with_its_first_value(path, opened):
    first = opened(Journal.new(path))
    assert first.add("metrics", step=1, values={"a": 1.0, "b": 2.0})
    first.close()
    again = opened(Journal(path))
    assert not again.add("metrics", step=1, values={"a": 9.0})
    assert again.add("metrics", step=1, values={"a": 9.0, "c": 3.0})
    assert again.add("metrics", step=2, values={"a": 4.0})
    assert kept(again) == [("a", 1, "1.0"), ("b", 1, "2.0"), ("c", 1, "3.0"), ("a", 2, "4.0")]


def test_floats_come_back_bit_for_bit_also_those_that_are_no_numbers(path, opened):
    values = {"third": 1 / 3, "tiny": 5e-324, "nan": math.nan, "up": math.inf, "down": -math.inf}
    journal = opened(Journal.new(path))
    journal.add("metrics", step=0, values=values)
    ((operation, _),) = journal.read(0)
    assert {k: repr(v) for k, v in operation["values"].items()} == {k: repr(v) for k, v in values.items()}
    assert not journal.add("metrics", step=0, values={"nan": math.nan})


def test_a_process_that_is_killed_loses_nothing_it_recorded_and_leaves_no_torn_line(path, opened):
    process = subprocess.Popen([sys.executable, "-c", RECORD, str(path)])
    deadline = time.monotonic() + 120
    while not path.is_file() or path.stat().st_size < 200_000:
        assert time.monotonic() < deadline and process.poll() is None
    with pytest.raises(UserError, match="another process is recording this run"):
        Journal(path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    journal = opened(Journal(path))
    points = kept(journal)
    assert points == [p for step in range(len(points) // 2) for p in (("a", step, repr(step / 7)), ("b", step, "nan"))]
    steps = len(points) // 2
    for step in range(steps - 100, steps + 100):  # goes on from its last checkpoint
        journal.add("metrics", step=step, values={"a": step / 7, "b": math.nan})
    assert [step for name, step, _ in kept(journal) if name == "a"] == list(range(steps + 100))


@pytest.mark.parametrize("cut", [1, 20, -1])
def test_a_torn_last_line_is_dropped_and_written_again(path, opened, cut):
    journal = opened(Journal.new(path))
    journal.add("metrics", step=1, values={"a": 1.0})
    whole = path.read_bytes()
    journal.add("metrics", step=2, values={"a": 2.0})
    torn = path.read_bytes()[len(whole) :][:cut]
    journal.close()
    path.write_bytes(whole + torn)
    journal = opened(Journal(path))
    assert path.read_bytes() == whole and journal.size == len(whole)
    assert journal.add("metrics", step=2, values={"a": 2.0})
    assert kept(journal) == [("a", 1, "1.0"), ("a", 2, "2.0")]


def test_a_damaged_line_within_gets_one_line(path, opened):
    journal = opened(Journal.new(path))
    journal.close()
    path.write_bytes(path.read_bytes() + b'{"op": "metr\n{"op": "metrics"}\n')
    with pytest.raises(UserError, match=f"{FILE}: damaged before byte") as error:
        Journal(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("line", [
    b'{"op": "sent", "position": -1}', b'{"op": "sent", "position": "a"}',
    b'{"op": "metrics", "values": {"a": 1}, "step": "b"}', b'{"op": "status"}', b'{"op": "artifact", "path": 1}',
    b'{"op": "checkpoint", "path": {}, "step": 1}',
])  # fmt: skip
def test_an_operation_that_no_run_wrote_gets_one_line(path, line):
    path.write_bytes(b'{"op": "run"}\n' + line + b"\n")
    with pytest.raises(UserError, match=f"{FILE}: damaged before byte") as error:
        Journal(path)
    assert "\n" not in str(error.value)


@pytest.fixture
def little_space():
    """Files can grow to so many bytes, and what is written beyond is cut, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_no_half_line(path, opened, little_space):
    journal = opened(Journal.new(path))
    before = path.read_bytes()
    little_space(len(before) + 20)
    with pytest.raises(UserError, match="No space left"):
        journal.add("metrics", step=1, values={"a": 1.0})
    little_space(2**20)
    assert path.read_bytes() == before
    assert journal.add("metrics", step=1, values={"a": 1.0}) and kept(journal) == [("a", 1, "1.0")]


def test_params_checkpoints_and_finished_children_are_kept_once(path, opened):
    journal = opened(Journal.new(path))
    assert journal.add("params", values={"a": "1"}) and not journal.add("params", values={"a": "2"})
    ckpt = path.parent / "checkpoints/best.ckpt"
    assert journal.add_file("checkpoint", ckpt, metrics={}, step=5)
    assert not journal.add_file("checkpoint", ckpt, metrics={}, step=5)
    assert journal.add_file("checkpoint", ckpt, metrics={}, step=6)
    child = {"name": "x", "started": 0, "params": {}, "metrics": [], "artifacts": []}
    assert journal.add("child", status="KILLED", **child) and journal.add("child", status="FINISHED", **child)
    assert not journal.add("child", status="FINISHED", **child)
    paths = [o["path"] for o, _ in journal.read(0) if o["op"] == "checkpoint"]
    assert paths == ["checkpoints/best.ckpt"] * 2  # the folder may move


def test_recording_a_point_is_one_write_that_does_not_wait_for_the_disk(path, opened, monkeypatch):
    """It neither reads what is there already nor calls `os.fsync`."""
    journal = opened(Journal.new(path))
    values = {f"group/metric_{i}": 1 / (i + 3) for i in range(20)}
    writes, write = [], journal._file.write
    monkeypatch.setattr(
        journal,
        "_file",
        SimpleNamespace(write=lambda line: writes.append(line) or write(line), close=journal._file.close),
    )
    monkeypatch.setattr(journal, "read", None)
    monkeypatch.setattr("os.fsync", None)
    for step in range(300):
        journal.add("metrics", step=step, values=values)
    assert len(writes) == 300 and b"".join(writes) == path.read_bytes().partition(b"\n")[2]

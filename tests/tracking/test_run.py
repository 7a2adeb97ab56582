"""A run: what it records is in each sink once, whatever stops in between."""

import csv
import math
import shutil
import signal
import subprocess
import sys
import time

import pytest
from servers import free_port, postgres

from drc_lab.errors import UserError
from drc_lab.tasks.sync import send_rest
from drc_lab.tracking.journal import FILE, Journal
from drc_lab.tracking.mlflow import Store
from drc_lab.tracking.models import models_of
from drc_lab.tracking.run import to_mlflow, tracked_run
from drc_lab.tracking.spec import TrackingSpec


def started(spec, folder, resume=False, **more):
    """A run of the study "study"."""
    return tracked_run(spec, folder, "study", more.pop("name", None), {}, resume, **more)


@pytest.fixture
def sqlite(empty_store, tmp_path):
    """The URI of an empty SQLite store."""
    return f"sqlite:///{shutil.copy(empty_store, tmp_path / 'mlflow.db')}"


def points(run_id, uri, metric):
    """All points of a metric in MLflow, in its order."""
    return [(m.step, repr(m.value)) for m in Store(uri).client.get_metric_history(run_id, metric)]


def table(folder):
    with (folder / "csv/metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def uri(request, tmp_path):
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite")
    else:
        with postgres(tmp_path) as uri:
            yield uri


def test_everything_arrives_once_even_if_all_of_it_is_sent_again(tmp_path, uri):
    """A process that is killed between a send and the note about it sends again; NaN and infinity are values."""
    spec, folder = TrackingSpec(uri, str(tmp_path / "artifacts")), tmp_path / "run"
    folder.mkdir()
    (folder / "best.ckpt").write_text("weights")
    (folder / "config.yaml").write_text("a: 1")
    odd = {"nan": math.nan, "up": math.inf, "down": -math.inf, "third": 1 / 3}
    with started(spec, folder, name="mine") as run:
        run.log_config({"a": {"b": 1}}, folder / "config.yaml")
        for step in range(0, 2500, 5):
            run.log_metrics({"x": step / 7, "y": 1.0}, step)
        run.log_metrics(odd, 7)
        run.log_checkpoint(folder / "best.ckpt", {"y": 1.0}, 5)
        run.log_tags({"colour": "red"})
        with run.child("small", {"size": 1}, "what it is") as child:
            child.log_metrics({"gain": 0.5}, 3)

    def check():
        client = Store(uri).client
        (child,) = [r for r in client.search_runs([run.experiment_id]) if r.info.run_id != run.run_id]
        one = client.get_run(run.run_id)
        assert (one.info.status, one.info.run_name, one.data.params["a.b"]) == ("FINISHED", "mine", "1")
        assert one.data.tags["colour"] == "red"
        assert points(run.run_id, uri, "x") == [(step, repr(step / 7)) for step in range(0, 2500, 5)]
        assert len(points(run.run_id, uri, "y")) == 500
        big = repr(sys.float_info.max)  # what its SQL stores keep of infinity
        expected = {"nan": "nan", "up": big, "down": f"-{big}", "third": repr(1 / 3)}
        got = {name: points(run.run_id, uri, name) for name in odd}
        assert {k: v[0][1].replace("1.7976931348623157e+308", big) for k, v in got.items()} == expected
        assert {len(v) for v in got.values()} == {1}
        assert {f.path for f in client.list_artifacts(run.run_id)} == {"config.yaml"}
        (model,) = models_of(client, run.run_id, run.experiment_id)
        assert model.tags["file"] == "best.ckpt" and [(m.key, m.value, m.step) for m in model.metrics] == [("y", 1, 5)]
        assert (child.info.status, child.info.run_name, child.data.params) == ("FINISHED", "small", {"size": "1"})
        assert child.data.tags["mlflow.note.content"] == "what it is"
        assert "best/solve_rate" in client.get_experiment(run.experiment_id).tags["mlflow.note.content"]
        assert points(child.info.run_id, uri, "gain") == [(3, "0.5")]

    check()
    with Journal(folder / FILE) as journal:
        assert journal.sent > 0
        journal.sent = 0
        to_mlflow(journal, Store(uri), print).flush()
    check()


LOG = """
import sys, time
from pathlib import Path
from drc_lab.tracking.run import tracked_run
from drc_lab.tracking.spec import TrackingSpec
folder = Path(sys.argv[1])
spec = TrackingSpec(f"sqlite:///{folder}/mlflow.db", csv=True)
with tracked_run(spec, folder / "run", "study", None, {}) as run:
    for step in range(10**6):  # an end, should nobody kill it
        run.log_metrics({"x": step / 7}, step)
        time.sleep(0.002)
"""


def not_sent(path):
    """Lines of a journal after the last that says what was sent."""
    return path.read_text().rpartition('"sent"')[2].count("\n") - 1


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_as_the_same_mlflow_run_without_holes_or_duplicates(tmp_path, sqlite):
    path, uri = tmp_path / "run" / FILE, sqlite
    process = subprocess.Popen([sys.executable, "-c", LOG, str(tmp_path)])
    deadline = time.monotonic() + 240
    while not path.is_file() or path.read_text().count('"sent"') < 2 or not_sent(path) < 20:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    client = Store(uri).client
    (killed,) = client.search_runs([client.get_experiment_by_name("study").experiment_id])
    assert killed.info.status == "RUNNING"
    with started(TrackingSpec(uri, csv=True), path.parent, resume=True) as run:
        assert run.run_id == killed.info.run_id
        end = run.journal.last_step("x") + 100
        for step in range(100, end):  # from its last checkpoint
            run.log_metrics({"x": step / 7}, step)
    whole = [(step, repr(step / 7)) for step in range(end)]
    assert points(run.run_id, uri, "x") == whole
    assert client.get_run(run.run_id).info.status == "FINISHED"
    rows = table(path.parent)
    assert [(int(row["step"]), row["x"]) for row in rows] == whole


def test_a_start_that_was_killed_before_it_could_note_its_run_leaves_no_second_one(tmp_path, sqlite):
    store = Store(sqlite)
    begun = store.begin_run(None, "study", None, {}, tmp_path / "run")
    with started(TrackingSpec(sqlite), tmp_path / "run", resume=True) as run:
        assert (run.experiment_id, run.run_id) == begun
        run.log_metrics({"x": 1.0}, 0)
    (path := tmp_path / "run" / FILE).unlink()
    for folder in ("run", "other"):  # that one has something in it, and another folder is another run
        with started(TrackingSpec(sqlite), tmp_path / folder, resume=True) as run:
            assert run.run_id != begun[1]
    assert path.is_file() and len(store.client.search_runs([begun[0]])) == 3


@pytest.mark.parametrize(("error", "status"), [(RuntimeError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_that_ends_early_says_so_and_runs_again_when_it_goes_on(tmp_path, sqlite, error, status):
    client = Store(sqlite).client
    with pytest.raises(error), started(TrackingSpec(sqlite), tmp_path / "run") as run:
        raise error
    assert client.get_run(run.run_id).info.status == status
    with started(TrackingSpec(sqlite), tmp_path / "run", resume=True) as again:
        deadline = time.monotonic() + 80
        while client.get_run(run.run_id).info.status != "RUNNING":
            assert time.monotonic() < deadline
    assert again.run_id == run.run_id and client.get_run(run.run_id).info.status == "FINISHED"


def test_csv_and_tensorboard_hold_each_point_once_after_a_run_went_on(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    spec = TrackingSpec(csv=True, tensorboard=True)
    for steps in (range(5), range(3, 8)):
        with started(spec, tmp_path, resume=True) as run:
            assert (run.run_id, run.client) == (None, None)
            for step in steps:
                run.log_metrics({"x": step / 7}, step)
            run.log_metrics({"late": 1.0}, 7)
            run.log_artifact(tmp_path / FILE)
            with run.child("small", {}) as child:
                child.log_metrics({"gain": 0.5})
    assert [word for word, _ in run.shown] == ["metrics", "curves"]
    rows = table(tmp_path)
    assert [(int(r["step"]), r["x"]) for r in rows if r["x"]] == [(step, repr(step / 7)) for step in range(8)]
    assert [int(r["step"]) for r in rows if r["late"]] == [7]
    (file,) = (tmp_path / "tensorboard").iterdir()
    board = EventAccumulator(str(file)).Reload()
    assert [e.step for e in board.Scalars("x")] == list(range(8))
    with Journal(tmp_path / FILE) as journal:
        times = {o["step"]: o["time"] for o, _ in journal.read(0) if o["op"] == "metrics" and "x" in o["values"]}
    logged_at = [times[step] / 1000 for step in range(8)]
    assert [e.wall_time for e in board.Scalars("x")] == pytest.approx(logged_at, rel=0, abs=1e-3)


def test_a_run_without_mlflow_that_goes_on_with_it_is_sent_from_its_start(tmp_path, sqlite):
    with started(TrackingSpec(), tmp_path / "run") as run:
        run.log_metrics({"x": 1.0}, 1)
    with started(TrackingSpec(sqlite), tmp_path / "run", resume=True) as run:
        run.log_metrics({"x": 2.0}, 2)
    assert points(run.run_id, sqlite, "x") == [(1, "1.0"), (2, "2.0")]


def test_a_new_run_in_an_old_folder_is_another_one(tmp_path, sqlite):
    spec = TrackingSpec(sqlite)
    ids = []
    for _ in range(2):
        with started(spec, tmp_path / "run") as run:
            run.log_metrics({"x": len(ids)}, 1)
        ids.append(run.run_id)
    assert ids[0] != ids[1]
    assert [points(run_id, spec.uri, "x") for run_id in ids] == [[(1, "0.0")], [(1, "1.0")]]


def test_a_folder_in_which_a_run_is_going_on_takes_no_other(tmp_path, sqlite):
    spec = TrackingSpec(sqlite)
    with started(spec, tmp_path / "run") as run:
        for resume in (False, True):
            with pytest.raises(UserError, match=f"{FILE}: another process is recording this run"):
                started(spec, tmp_path / "run", resume).__enter__()
        run.log_metrics({"x": 1.0}, 1)
        assert len(run.client.search_runs([run.experiment_id])) == 1
    assert points(run.run_id, sqlite, "x") == [(1, "1.0")]


@pytest.mark.parametrize("scheme", ["http", "postgresql"])
def test_a_store_that_is_away_at_the_start_is_noticed_soon_and_leaves_the_old_journal(tmp_path, scheme):
    with started(TrackingSpec(), tmp_path):
        pass
    before = (tmp_path / FILE).read_text()
    uri = f"{scheme}://127.0.0.1:{free_port()}"
    clock = time.monotonic()
    with pytest.raises(UserError, match=r"^tracking\.uri: found '") as error, started(TrackingSpec(uri), tmp_path):
        pass
    assert time.monotonic() - clock < 100 and "\n" not in str(error.value)  # MLflow itself would try for minutes
    assert (tmp_path / FILE).read_text() == before


def test_a_run_that_the_store_does_not_know_cannot_go_on_there(tmp_path, sqlite, empty_store):
    with started(TrackingSpec(sqlite), tmp_path / "run"):
        pass
    other = TrackingSpec(f"sqlite:///{shutil.copy(empty_store, tmp_path / 'other.db')}")
    with pytest.raises(UserError, match=r"^tracking.uri: found .*other.db', allowed: the store of run \w+"):
        started(other, tmp_path / "run", resume=True).__enter__()


BEGIN = """
import sys
from pathlib import Path
from drc_lab.tracking.mlflow import Store
print(*Store(sys.argv[1]).begin_run(None, "study", None, {}, Path(sys.argv[2])))
"""


@pytest.mark.slow
def test_parallel_starts_on_a_store_that_does_not_exist_yet_share_one_experiment(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    words = [sys.executable, "-W", "ignore", "-c", BEGIN, uri]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    jobs = [subprocess.Popen([*words, f"run{i}"], text=True, **pipes) for i in range(3)]
    outputs = [job.communicate(timeout=120) for job in jobs]
    assert [job.returncode for job in jobs] == [0] * 3, outputs
    assert len({out.split()[0] for out, _ in outputs}) == 1 and len({out.split()[1] for out, _ in outputs}) == 3


def test_what_cannot_be_stored_is_kept_until_it_can(tmp_path, sqlite, capfd):
    """The artifact store is away: its folder is a file."""
    artifacts, said = tmp_path / "artifacts", []
    with started(TrackingSpec(sqlite, str(artifacts), patience_seconds=0), tmp_path / "run", say=said.append) as run:
        (tmp_path / "run/a.txt").write_text("kept")
        artifacts.write_text("in the way")
        run.log_artifact(tmp_path / "run/a.txt")
        run.log_metrics({"x": 1.0}, 1)
    assert len(said) == 2 and " is away, the run goes on" in said[0] and "task=sync" in said[1], said
    for _ in range(2):
        with pytest.raises(UserError, match="does not have all of it"):
            send_rest(tmp_path / "run")
    artifacts.unlink()
    send_rest(tmp_path / "run")
    assert points(run.run_id, sqlite, "x") == [(1, "1.0")]
    client = Store(sqlite).client
    assert client.get_run(run.run_id).info.status == "FINISHED"
    assert [file.path for file in client.list_artifacts(run.run_id)] == ["a.txt"]
    assert "MLflow has all of it: make ui" in capfd.readouterr().out


def test_other_ranks_record_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    with started(TrackingSpec(f"sqlite:///{tmp_path}/mlflow.db", csv=True), tmp_path / "run") as run:
        run.log_metrics({"x": 1.0}, 1)
        run.log_config({}, tmp_path / "config.yaml")
        run.log_artifact(tmp_path / "config.yaml")
        run.log_checkpoint(tmp_path / "best.ckpt", {}, 1)
        run.sync()
        with run.child("small", {}) as child:
            child.log_metrics({"gain": 0.5})
    assert not list(tmp_path.iterdir())

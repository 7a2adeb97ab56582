"""An SQLite store that is locked, of another version of MLflow, or none at all."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from alembic import command
from click.testing import CliRunner
from commands import TINY, run_here, start, wait_for
from mlflow.db import commands as mlflow_db
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base
from sqlalchemy import Engine, create_engine, event

from drc_lab.errors import UserError
from drc_lab.tasks.sync import send_rest
from drc_lab.tracking import schema
from drc_lab.tracking.journal import FILE, Journal
from drc_lab.tracking.mlflow import Store
from drc_lab.tracking.run import tracked_run
from drc_lab.tracking.spec import TrackingSpec

LOCK_SECONDS = float(os.environ.get("LOCK_SECONDS", 3))  # of the training; 60 is the run in docs/reliability.md
HOLD = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""
SAID = "tracking.uri: found 'sqlite:///{}', whose tables are "
OTHERS = {  # what was done to the tables, and what is said of them
    "older": (["UPDATE alembic_version SET version_num = '{older}'"], "those of an older version, allowed: "),
    "older, with fewer tables": (
        ["UPDATE alembic_version SET version_num = '{older}'", "DROP TABLE webhooks"],
        "those of an older version, allowed: ",
    ),
    "newer": (["UPDATE alembic_version SET version_num = 'fedcba987654'"], "those of a newer version, allowed: "),
    "newer, with other tables": (
        ["UPDATE alembic_version SET version_num = 'fedcba987654'", "DROP TABLE webhooks"],
        "those of a newer version, allowed: ",
    ),
    "unfinished": (["DELETE FROM alembic_version"], "incomplete, allowed: "),
}


@pytest.fixture
def path(empty_store, tmp_path):
    """An empty store."""
    return shutil.copy(empty_store, tmp_path / "mlflow.db")


@contextlib.contextmanager
def locked(path):
    """Another process has the database to itself."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-S", "-c", HOLD, str(path)], **pipes) as holder:
        assert holder.stdout.readline() == "locked\n"
        try:
            yield
        finally:
            holder.communicate()


@pytest.fixture
def impatient(monkeypatch):
    """A lock is waited for 0.3 seconds in place of 20, by MLflow too."""
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.3)

    def shorter(connection, cursor, statement, *rest):
        return statement.replace("busy_timeout = 20000", "busy_timeout = 300"), rest[0]

    event.listen(Engine, "before_cursor_execute", shorter, retval=True)
    yield
    event.remove(Engine, "before_cursor_execute", shorter)


@pytest.fixture
def older():
    """The last revision but two of MLflow's tables."""
    scripts = schema.ScriptDirectory(str(schema.MIGRATIONS))
    return [script.revision for script in scripts.walk_revisions()][3]


@pytest.mark.parametrize("name", OTHERS)
def test_tables_of_another_version_stay_as_they_are_and_one_line_says_what_to_do(
    path, older, tmp_path, monkeypatch, capfd, name
):
    changes, said = OTHERS[name]
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        for change in changes:
            database.execute(change.format(older=older))
    before = path.read_bytes()
    monkeypatch.chdir(tmp_path)
    for words in (["folder=run", *TINY], ["task=compare", "compare.study=train"]):
        code, output, errors = run_here(monkeypatch, capfd, "root=.", *words)
        assert (code, output, errors.count("\n")) == (2, "", 1), errors
        assert errors.startswith(f"drc_lab: {SAID.format('./mlflow.db')}{said}"), errors
        if "older" in name:
            assert errors.endswith("Copy it, then:  mlflow db upgrade sqlite:///./mlflow.db\n")
        assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["mlflow.db"]


def test_the_advice_for_older_tables_makes_them_new_ones(tmp_path, older, monkeypatch):
    monkeypatch.chdir(tmp_path)
    engine = create_engine(uri := "sqlite:///mlflow.db")
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        config = _get_alembic_config(uri)
        config.attributes["connection"] = connection
        command.upgrade(config, older)
    engine.dispose()
    with pytest.raises(UserError, match="older version") as error:
        Store(uri).client  # noqa: B018 - connects
    words = str(error.value).split("mlflow db ")[1].split()
    assert CliRunner().invoke(mlflow_db, words, catch_exceptions=False).exit_code == 0
    with tracked_run(TrackingSpec(uri), tmp_path / "run", "study", None, {}) as run:
        pass
    assert run.client.get_run(run.run_id).info.status == "FINISHED"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"hello " * 1000, "file is not a database"),
        (lambda whole: whole[:50_000], "database disk image is malformed"),
        (None, "unable to open database file"),
    ],
    ids=["another file", "cut off", "a folder"],
)
def test_what_is_no_database_is_one_line_at_once(path, content, said, tmp_path):
    whole = path.read_bytes()
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content(whole) if callable(content) else content)
    clock = time.monotonic()
    with pytest.raises(UserError) as error:
        tracked_run(TrackingSpec(f"sqlite:///{path}"), tmp_path / "run", "study", None, {}).__enter__()
    assert str(error.value) == f"tracking.uri: found 'sqlite:///{path}': {said}"
    assert time.monotonic() - clock < 5 and not (tmp_path / "run").exists()  # MLflow tries a folder for 100 seconds


@pytest.mark.usefixtures("impatient")
def test_a_run_goes_on_while_its_store_is_locked_and_all_of_it_arrives(path, tmp_path):
    said = []
    with tracked_run(TrackingSpec(f"sqlite:///{path}"), tmp_path, "study", None, {}, say=said.append) as run:
        with locked(path):
            clock = time.monotonic()
            for step in range(100):
                run.log_metrics({"x": step / 7}, step)
            assert time.monotonic() - clock < 1
            while not said:
                time.sleep(0.05)
        while len(said) < 2:
            time.sleep(0.05)
    assert [line.split(",")[0] for line in said] == [
        f"MLflow at sqlite:///{path} is {word}" for word in ("away", "back")
    ]
    assert said[0].endswith(": database is locked")
    points = run.client.get_metric_history(run.run_id, "x")
    assert [(m.step, m.value) for m in points] == [(step, step / 7) for step in range(100)]
    assert run.client.get_run(run.run_id).info.status == "FINISHED"


@pytest.mark.usefixtures("impatient")
def test_a_store_that_stays_locked_is_one_line_at_the_start_and_gets_the_rest_of_a_run_later(path, tmp_path):
    spec, said = TrackingSpec(f"sqlite:///{path}", patience_seconds=0), []
    with locked(path):
        before = path.read_bytes()
        with pytest.raises(UserError) as error:
            tracked_run(spec, tmp_path / "run", "study", None, {}).__enter__()
        assert str(error.value) == f"tracking.uri: found 'sqlite:///{path}': database is locked"
        assert path.read_bytes() == before and not (tmp_path / "run").exists()
    with contextlib.ExitStack() as stack:
        with tracked_run(spec, tmp_path / "run", "study", None, {}, say=said.append) as run:
            stack.enter_context(locked(path))
            run.log_metrics({"x": 1.0}, 0)
        assert "task=sync" in said[-1]
        with pytest.raises(UserError, match="database is locked"):
            send_rest(tmp_path / "run")
        with tracked_run(spec, tmp_path / "run", "study", None, {}, resume=True, say=said.append) as again:
            again.log_metrics({"x": 2.0}, 1)
    send_rest(tmp_path / "run")
    assert [m.value for m in run.client.get_metric_history(run.run_id, "x")] == [1.0, 2.0]
    assert run.client.get_run(run.run_id).info.status == "FINISHED"


@pytest.mark.slow
def test_a_start_waits_for_a_lock_that_ends(path, tmp_path):
    with contextlib.ExitStack() as lock:
        lock.enter_context(locked(path))
        threading.Timer(5.5, lock.close).start()  # longer than SQLite itself waits
        with tracked_run(TrackingSpec(f"sqlite:///{path}"), tmp_path / "run", "study", None, {}) as run:
            pass
    assert run.client.get_run(run.run_id).info.status == "FINISHED"


@pytest.mark.slow
def test_a_training_does_not_wait_for_a_locked_store_and_leaves_all_in_it(path, tmp_path):
    frames = 12_800 if LOCK_SECONDS <= 3 else 128_000
    process = start(tmp_path, *TINY, f"algo.rollouts.frames={frames}", "root=.", "folder=run", "threads=1")
    journal = tmp_path / "run" / FILE
    wait_for(lambda: journal.is_file() and b'"sent"' in journal.read_bytes().partition(b'"metrics"')[2], process)
    with locked(path):
        before = journal.stat().st_size
        time.sleep(LOCK_SECONDS)
        grown = journal.stat().st_size - before
    output, errors = process.communicate(timeout=240)
    assert (process.returncode, errors) == (0, ""), errors
    print(f"{grown:,} bytes were recorded in {LOCK_SECONDS:g} seconds of lock\n{output}")
    assert grown > 1000 and output.count(" is away") == output.count(" is back") == (LOCK_SECONDS > 25)
    with Journal(journal) as one:
        logged = [
            (k, o["step"], repr(v)) for o, _ in one.read(0) if o["op"] == "metrics" for k, v in o["values"].items()
        ]
        client, run_id = Store(f"sqlite:///{path}").client, one.run["run_id"]
    assert client.get_run(run_id).info.status == "FINISHED"
    for name in {name for name, _, _ in logged}:
        points = [(name, m.step, repr(m.value)) for m in client.get_metric_history(run_id, name)]
        assert points == [point for point in logged if point[0] == name]

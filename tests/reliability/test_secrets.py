"""A password or token is in no file, tag, message or list of processes, and still opens the store."""

import base64
import os
import sqlite3

import psutil
import pytest
from commands import TINY, run_here, start_fresh, wait_for
from servers import Gate, MLflowServer, answer

from drc_lab.errors import UserError
from drc_lab.passwords import VARIABLE, hidden, hidden_in, moved_to_environment, without_hidden
from drc_lab.tasks.sync import send_rest
from drc_lab.tracking.journal import FILE, Journal
from drc_lab.tracking.mlflow import Store
from drc_lab.tracking.run import tracked_run
from drc_lab.tracking.spec import TrackingSpec

SECRET = "s3cret%21word"
URIS = {  # as given, as shown, as tried without what is hidden
    f"postgresql://u:{SECRET}@h:1/db": ("postgresql://u:***@h:1/db", "postgresql://u@h:1/db"),
    f"postgresql://u@h/db?sslmode=require&password={SECRET}": (
        "postgresql://u@h/db?sslmode=require&password=***",
        "postgresql://u@h/db?sslmode=require",
    ),
    f"http://user:{SECRET}@h:5000": ("http://user:***@h:5000", "http://h:5000"),
    f"https://{SECRET}@h/mlflow": ("https://***@h/mlflow", "https://h/mlflow"),
    f"http://h/?token={SECRET}&x=1": ("http://h/?token=***&x=1", "http://h/?x=1"),
}
HARMLESS = [
    "postgresql://u@h/db", "http://127.0.0.1:5000/a?x=1", "sqlite:////tmp/a b:c@d/mlflow.db", "models:/drc@champion",
    '{"uri": "http://127.0.0.1:5000", "note": "me@home"}', "postgresql://u:${oc.env:MINE}@h/db", "file:///a:b@c",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in (VARIABLE, f"{VARIABLE}_2"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def holders(folder):
    """The files in a folder that hold the secret."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if SECRET.encode() in path.read_bytes() or SECRET in path.name]


@pytest.mark.parametrize("uri", URIS)
def test_uris_are_shown_without_secrets_wherever_they_stand(uri):
    shown, tried = URIS[uri]
    assert hidden(f"API request to {uri} failed") == f"API request to {shown} failed"
    assert hidden_in({"tracking": {"uri": uri, "list": [uri, 1]}}) == {"tracking": {"uri": shown, "list": [shown, 1]}}
    assert hidden(shown) == shown and without_hidden(shown) == tried and without_hidden(uri) == uri
    (word,) = moved_to_environment([f"tracking.uri='{uri}'"])
    assert SECRET not in word and os.environ[VARIABLE] == SECRET
    assert moved_to_environment([word]) == [word] and hidden(word) == word
    assert word.replace(f"${{oc.env:{VARIABLE}}}", SECRET) == f"tracking.uri='{uri}'"


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text):
    assert hidden(text) == text == moved_to_environment([text])[0]


def test_two_secrets_take_two_variables(monkeypatch):
    monkeypatch.setenv(VARIABLE, "of the user's own")
    words = moved_to_environment(["a=http://u:one@h", "b=http://u:one@i"])
    assert words == [f"a=http://u:${{oc.env:{VARIABLE}_2}}@h", f"b=http://u:${{oc.env:{VARIABLE}_2}}@i"]
    assert os.environ[VARIABLE] == "of the user's own" and os.environ[f"{VARIABLE}_2"] == "one"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = MLflowServer(tmp_path_factory.mktemp("server"))
    yield server.start()
    server.kill()


def with_secret(gate):
    return gate.uri.replace("http://", f"http://user:{SECRET}@")


def test_a_server_gets_the_password_and_its_errors_do_not_show_it(tmp_path):
    with Gate(1, answer("401 Unauthorized", "no")) as gate, pytest.raises(UserError) as error:
        Store(with_secret(gate)).begin_run(None, "study", None, {}, tmp_path)
    encoded = base64.b64encode(b"user:s3cret!word")
    assert b"Authorization: Basic " + encoded in gate.requests[0]
    assert SECRET not in str(error.value) and "user:***@127.0.0.1" in str(error.value)
    for way in ("refuse", "cut", answer("302 Found", "", "Location: /")):
        with Gate(1, way) as gate, pytest.raises(UserError) as error:
            Store(with_secret(gate)).begin_run(None, "study", None, {}, tmp_path)
        assert SECRET not in str(error.value)


def test_the_rest_of_a_run_needs_its_password_again(tmp_path, server):
    said = []
    with Gate(server.port) as gate:
        spec = TrackingSpec(with_secret(gate), patience_seconds=0)
        with tracked_run(spec, tmp_path / "run", "study", None, {"note": with_secret(gate)}, say=said.append) as run:
            run.log_config({"tracking": {"uri": with_secret(gate)}}, tmp_path / "run" / FILE)
            gate.way = "refuse"
            run.log_metrics({"x": 1.0}, 1)
        uri = gate.uri.replace("//", f"//user:${{oc.env:{VARIABLE}}}@")
        assert said[-1].endswith(f"folder={tmp_path}/run 'tracking.uri={uri}'") and SECRET not in "".join(said)
        with Journal(tmp_path / "run" / FILE) as journal:
            assert journal.run["uri"] == gate.uri.replace("//", "//user:***@")
        gate.way, gate.requests = answer("401 Unauthorized", "no"), []
        for given in (None, "http://other:5000", with_secret(gate)):
            with pytest.raises(UserError):
                send_rest(tmp_path / "run", given)
        assert [b"Authorization" in request for request in gate.requests] == [False, False, True]
        gate.way = "open"
        with tracked_run(spec, tmp_path / "run", "study", None, {}, resume=True) as again:
            assert again.run_id == run.run_id
    assert not holders(tmp_path)
    params = Store(server.uri).client.get_run(run.run_id).data.params
    assert params["tracking.uri"] == gate.uri.replace("//", "//user:***@")


def test_a_sweep_writes_no_password_of_a_file_of_the_users(tmp_path, monkeypatch, capfd):
    (tmp_path / "mine/tracking").mkdir(parents=True)
    with Gate(1, "refuse") as gate:
        (tmp_path / "mine/tracking/server.yaml").write_text(f"uri: {with_secret(gate)}\n")
        monkeypatch.chdir(tmp_path)
        words = ["--config-dir", "mine", "-m", "seed=0,1", *TINY, "tracking=server"]
        code, output, errors = run_here(monkeypatch, capfd, *words)
    assert code == 2 and errors.count("\n") == 1 and "user:***@" in errors
    assert SECRET not in output + errors


@pytest.mark.slow
def test_a_password_in_a_command_is_nowhere_after_a_sweep_but_in_the_environment(tmp_path, server):
    """Its server is gone for the end, so that all that can be said is said."""
    with Gate(server.port) as gate:
        words = [f"tracking.uri={with_secret(gate)}", "tracking.patience_seconds=0", "callbacks.videos.levels=1"]
        process = start_fresh(tmp_path, "-m", "seed=0,1", *TINY, *words, "algo.rollouts.frames=640", "threads=1")
        first = wait_for(lambda: [path for path in tmp_path.rglob(FILE) if "/0/" in str(path)], process)[0]
        wait_for(lambda: b'"metrics"' in first.read_bytes(), process)
        of_it = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        assert not [each for each in of_it if SECRET in " ".join(each.cmdline())]
        gate.way = "refuse"
        output, errors = process.communicate(timeout=240)
    assert SECRET not in output + errors and "***" in output
    assert not holders(tmp_path) and not holders(server.folder)
    assert (tmp_path / "outputs").is_dir() and len(list(tmp_path.rglob("last.ckpt"))) == 1
    with sqlite3.connect(server.folder / "server.db") as database:
        assert SECRET not in "\n".join(database.iterdump())

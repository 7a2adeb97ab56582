"""An MLflow server that does everything but work: a run goes on, ends in bounded time, and all of it arrives later."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from commands import TINY, run_here, start, wait_for
from servers import Gate, MLflowServer, answer

from drc_lab.errors import UserError
from drc_lab.tasks.sync import send_rest
from drc_lab.tracking.journal import FILE, Journal
from drc_lab.tracking.mlflow import Store
from drc_lab.tracking.multirun import sweep_run
from drc_lab.tracking.reading import open_store
from drc_lab.tracking.run import tracked_run
from drc_lab.tracking.sender import Sender
from drc_lab.tracking.spec import TrackingSpec

TIMEOUT, PATIENCE = 1, 1  # seconds: of a request, which is tried twice, and of a run that ends
WAYS = {
    "refuses": "refuse",
    "hangs": "hang",
    "cuts": "cut",
    "500": answer("500 Internal Server Error", "no"),
    "busy for long": answer("503 Service Unavailable", "", "Retry-After: 30"),
    "401": answer("401 Unauthorized", '{"error_code": "WHO", "message": "who is there?"}'),
    "403": answer("403 Forbidden", "<html>go away</html>\n" * 1000),
    "another page": answer("200 OK", "<html>hello</html>"),
    "another JSON": answer("200 OK", "[]"),
    "a loop": answer("302 Found", "", "Location: /"),
    "noise": b"SSH-2.0-OpenSSH_9.6\r\n",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = MLflowServer(tmp_path_factory.mktemp("server"))
    yield server.start()
    server.kill()


@pytest.fixture(autouse=True)
def _short_requests(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", str(TIMEOUT))


def of_each_way(work):
    """What comes of some work at a gate for each way of failing, all at once: most of it is waiting."""
    with ThreadPoolExecutor(len(WAYS)) as pool:
        return dict(zip(WAYS, pool.map(lambda item: work(*item), WAYS.items()), strict=True))


def history(server, run_id, metric):
    return [(m.step, m.value) for m in Store(server.uri).client.get_metric_history(run_id, metric)]


def test_a_run_goes_on_ends_in_time_and_arrives_later_whatever_its_server_answers(tmp_path, server):
    def work(name, way):
        folder, said = tmp_path / name, []
        with Gate(server.port) as gate:
            spec = TrackingSpec(gate.uri, patience_seconds=PATIENCE)
            with tracked_run(spec, folder, "study", name, {}, say=said.append) as run:
                run.log_config({"a": 1}, folder / FILE)
                gate.way, clock = way, time.monotonic()
                for step in range(500):
                    run.log_metrics({"x": step / 7}, step)
                logged, clock = time.monotonic() - clock, time.monotonic()
            ended = time.monotonic() - clock
            status = Store(server.uri).client.get_run(run.run_id).info.status
            with pytest.raises(UserError, match=r"^tracking\.uri: found 'http"):
                send_rest(folder)
            gate.way = "open"
            send_rest(folder)
        return run.run_id, said, logged, ended, status

    for name, (run_id, said, logged, ended, status) in of_each_way(work).items():
        assert logged < 2, name  # all of them at once, on a machine with fewer cores
        assert ended < PATIENCE + 2 * TIMEOUT + 5, name
        assert len(said) == 2 and not any("\n" in line for line in said), (name, said)
        assert " is away, the run goes on" in said[0] and "task=sync" in said[1], (name, said)
        assert max(map(len, said)) < 700, (name, said)
        assert status == "RUNNING"  # and once the rest is there:
        assert Store(server.uri).client.get_run(run_id).info.status == "FINISHED", name
        assert history(server, run_id, "x") == [(step, step / 7) for step in range(500)], name


def test_a_start_with_a_server_that_fails_is_one_line_soon(tmp_path, caplog):
    def lines(name, way):
        with Gate(1, way) as gate:
            found = []
            for work in (
                lambda: tracked_run(TrackingSpec(gate.uri), tmp_path / name, "study", None, {}).__enter__(),
                lambda: Store(gate.uri).check_run("abc"),
                lambda: open_store(gate.uri),
            ):
                clock = time.monotonic()
                with pytest.raises(UserError) as error:
                    work()
                found.append((str(error.value), time.monotonic() - clock))
        return found

    for name, found in of_each_way(lines).items():
        for line, seconds in found:
            assert re.match(r"tracking\.uri: found 'http://127.0.0.1:\d+'", line) and len(line) < 400, (name, line)
            assert "\n" not in line and seconds < 2 * TIMEOUT + 5, (name, line, seconds)
    assert not caplog.records and not list(tmp_path.iterdir())


def test_a_server_that_takes_everything_and_knows_nothing_is_none_of_mlflow(tmp_path):
    with Gate(1, answer("200 OK", "{}")) as gate, pytest.raises(UserError, match="not as a server of MLflow does"):
        Store(gate.uri).begin_run(None, "study", None, {}, tmp_path)


def test_a_server_that_fails_between_a_run_and_its_config_is_one_line(tmp_path, server):
    with Gate(server.port) as gate:
        spec = TrackingSpec(gate.uri, patience_seconds=0)
        with (
            pytest.raises(UserError, match=r"^MLflow at http.* does not take the run's config: ") as error,
            tracked_run(spec, tmp_path, "study", None, {}, say=lambda _: None) as run,
        ):
            gate.way = WAYS["500"]
            run.log_config({"a": 1}, tmp_path / FILE)
        assert "\n" not in str(error.value)
        gate.way = "open"
        send_rest(tmp_path)
    assert Store(server.uri).client.get_run(run.run_id).info.status == "FAILED"


def test_an_answer_that_never_ends_is_given_up(tmp_path, server, monkeypatch):
    """A byte of it comes before each timeout, so that the request itself never fails."""
    monkeypatch.setattr("drc_lab.tracking.sender.LONGEST_SEND", 2.0)
    said = []
    with Gate(server.port) as gate:
        with tracked_run(TrackingSpec(gate.uri), tmp_path, "study", None, {}, say=said.append) as run:
            run.log_metrics({"x": 1.0}, 0)
            wait_until(lambda: history(server, run.run_id, "x"))
            gate.way = "drip"
            run.log_metrics({"x": 2.0}, 1)
            clock = time.monotonic()
        assert 2 < time.monotonic() - clock < 7 and "task=sync" in said[-1], said
        gate.way = "open"
        send_rest(tmp_path)
    assert history(server, run.run_id, "x") == [(0, 1.0), (1, 2.0)]


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_ctrl_c_while_the_rest_is_sent_leaves_no_thread_that_sends(tmp_path, server, monkeypatch):
    with Gate(server.port) as gate:
        spec, said = TrackingSpec(gate.uri), []
        with (
            pytest.raises(KeyboardInterrupt),
            tracked_run(spec, tmp_path, "study", None, {}, say=said.append) as run,
        ):
            gate.way = "hang"
            run.log_metrics({"x": 1.0}, 0)
            monkeypatch.setattr(Sender, "join", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        monkeypatch.undo()
        senders = [thread for thread in threading.enumerate() if isinstance(thread, Sender)]
        gate.way = "open"
        for sender in senders:
            sender.join(10)
            assert not sender.is_alive() and not sender.done
        assert len(said) == 1 and "task=sync" in said[0], said
        send_rest(tmp_path)
    assert Store(server.uri).client.get_run(run.run_id).info.status == "FINISHED"


def test_a_sweep_whose_server_is_away_at_its_end_has_no_summary_and_says_so(tmp_path, server):
    said = []
    with (
        Gate(server.port) as gate,
        sweep_run(TrackingSpec(gate.uri, patience_seconds=0), tmp_path, "study", None, {}, say=said.append),
    ):
        gate.way = "refuse"
    assert any(line.startswith("the sweep has no summary: ") for line in said), said


@pytest.mark.slow
def test_a_training_whose_server_hangs_for_good_ends_well_and_is_sent_later(tmp_path, server, monkeypatch, capfd):
    with Gate(server.port) as gate:
        words = [f"tracking.uri={gate.uri}", f"tracking.patience_seconds={PATIENCE}", "threads=1", "folder=run"]
        process = start(tmp_path, *TINY, *words)
        path = tmp_path / "run" / FILE
        wait_for(lambda: path.is_file() and b'"sent"' in path.read_bytes().partition(b'"metrics"')[2], process)
        gate.way = "hang"
        output, errors = process.communicate(timeout=240)
        assert (process.returncode, errors) == (0, "")
        assert output.count(" is away") == 1 and output.count("task=sync") == 1, output
        gate.way = "open"
        monkeypatch.chdir(tmp_path)
        code, output, errors = run_here(monkeypatch, capfd, "task=sync", "folder=run")
        assert (code, errors) == (0, "") and "MLflow has all of it" in output
    with Journal(path) as journal:
        logged = [
            (k, o["step"], repr(v)) for o, _ in journal.read(0) if o["op"] == "metrics" for k, v in o["values"].items()
        ]
        run_id = journal.run["run_id"]
    assert Store(server.uri).client.get_run(run_id).info.status == "FINISHED"
    for name in {name for name, _, _ in logged}:
        points = [(name, step, repr(value)) for step, value in history(server, run_id, name)]
        assert points == [point for point in logged if point[0] == name]

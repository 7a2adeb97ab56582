"""An MLflow server that dies in the middle of a training: nothing is lost, and the training does not wait."""

import re
import shlex
import threading
import time

import pytest
import torch
from commands import TINY, run_here, start, wait_for
from servers import MLflowServer

from drc_lab.tracking.journal import FILE, Journal
from drc_lab.tracking.mlflow import Store
from drc_lab.tracking.run import tracked_run
from drc_lab.tracking.spec import TrackingSpec

FRAMES = 12_800
EXPECTED = list(range(320, FRAMES + 1, 320))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = MLflowServer(tmp_path_factory.mktemp("server"))
    yield server.start()
    server.kill()


def train(tmp_path, server, *overrides):
    """A training that records in ``run``, and once its first metrics are in MLflow, its journal."""
    words = [f"tracking.uri={server.uri}", f"algo.rollouts.frames={FRAMES}", "threads=1", "folder=run"]
    process = start(tmp_path, *TINY, *words, *overrides)
    path = tmp_path / "run" / FILE
    wait_for(lambda: path.is_file() and b'"sent"' in path.read_bytes().partition(b'"metrics"')[2], process)
    return process, path


def operations(path):
    """What a journal holds, also while a process writes it."""
    reader = Journal.__new__(Journal)
    reader.path = path
    return [operation for operation, _ in reader.read(0)]


def check_history(server, path):
    """Everything that the journal holds is in MLflow once."""
    with Journal(path) as journal:
        run_id, metrics = journal.run["run_id"], [o for o, _ in journal.read(0) if o["op"] == "metrics"]
    client = Store(server.uri).client
    one = client.get_run(run_id)
    logged = [(o["step"], name, repr(value)) for o in metrics for name, value in o["values"].items()]
    assert {name for _, name, _ in logged} == set(one.data.metrics) >= {"loss/total", "valid/solve_rate"}
    for name in one.data.metrics:
        points = [(m.step, repr(m.value)) for m in client.get_metric_history(run_id, name)]
        assert points == [(step, value) for step, metric, value in logged if metric == name], name
    assert sorted({step for step, name, _ in logged if name == "loss/total"}) == EXPECTED
    return client, one


@pytest.mark.slow
def test_a_server_that_dies_and_comes_back_has_everything_once_and_the_training_did_not_wait(tmp_path, server):
    process, path = train(tmp_path, server)
    last = path.parent / "checkpoints/last.ckpt"
    wait_for(last.is_file, process)
    server.kill()
    killed_at, before = time.time(), torch.load(last, weights_only=True)["frames"]
    wait_for(lambda: torch.load(last, weights_only=True)["frames"] >= before + 2 * 640, process)
    back_at = time.time()
    server.start()
    output, errors = process.communicate(timeout=240)
    assert (process.returncode, errors) == (0, "")
    assert output.count(" is away") == 1 and output.count(" is back") == 1
    while_away = [o for o in operations(path) if o["op"] == "metrics" and killed_at < o["time"] / 1000 < back_at]
    assert len(while_away) >= 2  # it went on meanwhile
    client, one = check_history(server, path)
    assert one.info.status == "FINISHED"
    files = {file.path for file in client.list_artifacts(one.info.run_id, "checkpoints")}
    assert files == {"checkpoints/best.ckpt", "checkpoints/last.ckpt"}


@pytest.mark.slow
def test_a_server_that_stays_away_ends_the_wait_and_gets_the_rest_later(tmp_path, server, monkeypatch, capfd):
    process, path = train(tmp_path, server, "tracking.patience_seconds=2")
    server.kill()
    output, errors = process.communicate(timeout=240)
    ended = time.time()
    assert (process.returncode, errors) == (0, "")
    (status,) = [o for o in operations(path) if o["op"] == "status"]
    assert 2 < ended - status["time"] / 1000 < 2 + 100  # MLflow itself would try for minutes
    assert output.count(f"MLflow at {server.uri} is away") == 1
    words = shlex.split(re.search(r"or:  (.* task=sync .*)", output).group(1))

    said, clock = [], time.monotonic()  # the run goes on, although the server is still away
    spec = TrackingSpec(server.uri, patience_seconds=0)
    with tracked_run(spec, path.parent, "train", None, {}, resume=True, say=said.append) as run:
        run.log_metrics({"loss/total": -1.0}, FRAMES)
        run.log_metrics({"late": 1.0}, FRAMES)
        assert threading.active_count() > 1
    assert time.monotonic() - clock < 100 and len(said) == 2, said

    server.start()
    monkeypatch.chdir(tmp_path)
    code, output, errors = run_here(monkeypatch, capfd, *words[words.index("drc_lab") + 1 :])
    assert (code, errors) == (0, "") and "MLflow has all of it" in output
    _, one = check_history(server, path)
    assert one.info.status == "FINISHED" and one.data.metrics["late"] == 1

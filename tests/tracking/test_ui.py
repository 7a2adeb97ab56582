"""MLflow's pages as a person meets them."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from servers import free_port

from drc_lab.evaluation.measures.table import Row
from drc_lab.studies.nested_runs import log_settings
from drc_lab.tracking.descriptions import RUNS
from drc_lab.tracking.run import tracked_run
from drc_lab.tracking.spec import TrackingSpec
from drc_lab.tracking.ui import VIEW, main, newest_study

ADDRESS = "http://127.0.0.1:5000"


def study(client, name, start, kinds=(), metric="solve_rate"):
    """An experiment with a training, which began at a time, and nested runs of thinking; their ids."""
    experiment = client.create_experiment(name)
    parent = client.create_run(experiment, start, {"seed": "0"}, "training").info.run_id
    client.log_metric(parent, f"best/{metric}", 0.5)
    for kind in kinds:
        run = client.create_run(experiment, start, {"mlflow.parentRunId": parent}, kind).info.run_id
        client.log_param(run, "kind", kind)
        client.log_metric(run, metric, 0.5)
    return experiment, parent


def view(client, experiment, name):
    return json.loads(client.get_experiment(experiment).tags[VIEW + name])


def test_links_lead_to_the_newest_study_that_is_there(tmp_path):
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    assert newest_study(client, ADDRESS) == []
    old, parent = study(client, "old", 1000, ["noops=1", "repeats=1"])
    new, _ = study(client, "new", 2000, metric="return")
    page = f"{ADDRESS}/#/experiments/{{}}/runs?workflowType=machine_learning&viewStateShareKey={{}}"
    assert newest_study(client, ADDRESS) == [("trainings", page.format(new, "trainings"))]
    assert view(client, new, "trainings")["selectedColumns"][0] == "metrics.`best/return`"
    client.delete_experiment(new)
    links = [("trainings", page.format(old, "trainings")), ("thinking", page.format(old, "thinking"))]
    assert newest_study(client, ADDRESS) == links
    assert view(client, old, "trainings")["selectedColumns"][0] == "metrics.`best/solve_rate`"
    thinking = view(client, old, "thinking")
    assert parent in thinking["searchFilter"] and thinking["selectedColumns"][0] == "metrics.`solve_rate`"
    client.delete_run(parent)
    assert newest_study(client, ADDRESS) == links[:1]


def test_a_port_that_is_taken_is_one_line(tmp_path, capfd):
    MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    capfd.readouterr()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(f"{tmp_path}/mlflow.db", str(port)) == 2
    message = f"drc_lab: PORT: found {port}, Address already in use; another: make ui PORT={port + 1}\n"
    assert capfd.readouterr().err == message
    assert main(f"{tmp_path}/mlflow.db", "none") == 2
    assert capfd.readouterr().err == "drc_lab: PORT: found 'none', allowed: 1 to 65535\n"


def thought(kind, amount, solve_rate):
    """A row of a thinking sweep."""
    return Row(kind, float(amount), "all", 100, solve_rate, 0.1, 0.9, 0.2, 0.1, 0.3, 5, 3, 0.5, 0.5, 3.0, 0.7, 9.0)


@pytest.fixture
def finished_study(tmp_path):
    """The store of a thinking sweep that has ended."""
    tags = {"seed": "0", MLFLOW_RUN_NOTE: RUNS["thinking_sweep"]}
    spec = TrackingSpec(f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "artifacts"))
    with tracked_run(spec, tmp_path / "run", "thinking_sweep", "a training", tags) as run:
        run.log_metrics({"best/solve_rate": 0.625}, 640)
        amounts = [(0, 0.125), (2, 0.25), (16, 0.375), (128, 0.75)]
        log_settings([thought("first_passes", *each) for each in amounts] + [thought("random", 0, 0.0625)], run, 640)
    return tmp_path / "mlflow.db"


@contextmanager
def served(store, end):
    """The program behind `make ui`, at a port of its own: the lines that it prints first. The signal that ends it goes
    to its whole group of processes, as that of Ctrl-C in a terminal does."""
    words = [sys.executable, "-m", "drc_lab.tracking.ui", str(store), str(port := free_port())]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(words, **pipes, start_new_session=True) as process:
        lines = []
        try:
            while not lines or "all studies" not in lines[-1]:
                lines.append(process.stdout.readline())
                assert lines[-1], lines
            yield lines
        finally:
            os.killpg(process.pid, end)
            rest = process.stdout.read()
    assert process.returncode == 0 and rest == ""  # no line for each request, and no other last words
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port))  # the server has ended too


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_without_a_word(finished_study, end):
    with served(finished_study, end):
        pass


@pytest.mark.slow
def test_the_printed_links_lead_to_the_trainings_and_to_the_thinking_curve(finished_study, browser, tmp_path):
    with served(finished_study, signal.SIGINT) as lines:
        check_pages({line[:12].strip(): line[12:].strip() for line in lines[-3:]}, browser, tmp_path)


def check_pages(links, browser, tmp_path):
    """What a person sees behind each link."""
    assert list(links) == ["trainings", "thinking", "all studies"]

    def opened(link, *texts):
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        page.set_default_timeout(60_000)
        page.goto(link, wait_until="commit")
        for text in texts:
            page.get_by_text(text, exact=True).first.wait_for()
        page.screenshot(path=tmp_path / f"{texts[0]}.png")
        return page

    page = opened(links["trainings"], "a training", "best/solve_rate", "0.625")
    page.get_by_text("a training", exact=True).click()
    page.get_by_text("A training, then its best checkpoint").wait_for()
    page.screenshot(path=tmp_path / "run.png")
    page.close()
    rates = {
        "first_passes=000": "0.125",
        "first_passes=002": "0.25",
        "first_passes=016": "0.375",
        "first_passes=128": "0.75",
        "random": "0.0625",
    }
    page = opened(links["thinking"], *rates, *rates.values(), "solve_rate", "gain", "gain_low", "gain_high")
    places = [page.get_by_text(text, exact=True).first.bounding_box()["y"] for text in rates]
    assert places == sorted(places) and len(set(places)) == len(rates)
    for place, rate in zip(places, rates.values(), strict=True):
        assert abs(page.get_by_text(rate, exact=True).first.bounding_box()["y"] - place) < 10
    page.get_by_text("first_passes=016", exact=True).click()
    page.get_by_text("16 of it, plays the held-out levels").wait_for()
    page.screenshot(path=tmp_path / "setting.png")
    page.close()
    page = opened(links["all studies"], "thinking_sweep")
    page.close()

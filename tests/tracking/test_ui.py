"""MLflow's pages as a person meets them."""

import json
import socket

from mlflow.tracking import MlflowClient

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

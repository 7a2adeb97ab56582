"""Serves MLflow's pages for an SQLite store: ``python -m drc_lab.tracking.ui STORE PORT``, which ``make ui`` runs.

Prints the addresses of the newest study, and serves until Ctrl-C.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from drc_lab.errors import ConfigError, UserError, complain
from drc_lab.evaluation.measures.criterion import judged_by
from drc_lab.tracking.reading import open_store, pages, runs_of, studies
from drc_lab.tracking.sqlite import SQLITE, for_mlflow

HOST = "127.0.0.1"  # only this machine, because the pages are not protected by a password
VIEW = "mlflow.sharedViewState."  # prefix of the experiment tags in which MLflow's "share this view" saves views
QUIET = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # not needed, and the server starts in half the time without it
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PYTHONWARNINGS": "ignore",
}


def main(store: str, port: str) -> int:
    """Serves a store's pages; returns the exit code."""
    try:
        if not port.isdigit() or int(port) not in range(1, 2**16):
            raise ConfigError("PORT", port, "1 to 65535")
        address, client = f"http://{HOST}:{port}", open_store(SQLITE + store)
        links = [*newest_study(client, address), ("all studies", f"{address}/#/experiments")]
        with server(store, int(port)) as process:
            for word, link in links:
                print(f"{word:12}{link}", flush=True)
            process.wait()
            return process.returncode
    except UserError as error:
        return complain(error)
    except KeyboardInterrupt:
        return 0


def newest_study(client: MlflowClient, address: str) -> list[tuple[str, str]]:
    """Links to the trainings and the thinking settings of the study with the newest run, as pairs of a label and a URL.

    Each link opens a view that this function saves in the study, because MLflow's table shows no metrics by default.
    """
    order = ["attributes.start_time DESC"]
    newest = client.search_runs(list(studies(client).values()), order_by=order, max_results=1)
    if not newest:
        return []
    study = newest[0].info.experiment_id
    # Without the workflowType MLflow may open its page for LLMs.
    page = f"{address}/#/experiments/{study}/runs?workflowType=machine_learning&viewStateShareKey="

    def link(name: str, columns: Sequence[str], **view: object) -> str:
        view["selectedColumns"] = [f"metrics.`{column}`" for column in columns]
        client.set_experiment_tag(study, VIEW + name, json.dumps(view))
        return page + name

    metrics = {name for run in runs_of(client, [study]) for name in run.data.metrics}
    columns = [judged_by(metrics, prefix) for prefix in ("best/", "final/", "train/")]
    links = [("trainings", link("trainings", columns))]
    nested = pages(client.search_runs, [study], "params.kind LIKE '%'", order_by=order)
    for parent in dict.fromkeys(run.data.tags[MLFLOW_PARENT_RUN_ID] for run in nested):
        if client.get_run(parent).info.lifecycle_stage == "active":
            its_runs = [run for run in nested if run.data.tags[MLFLOW_PARENT_RUN_ID] == parent]
            measure = judged_by({name for run in its_runs for name in run.data.metrics})
            of_parent = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent}'"
            columns = [measure, "gain", "gain_low", "gain_high"]
            by_name = {"orderByKey": "tags.`mlflow.runName`", "orderByAsc": True}
            return [*links, ("thinking", link("thinking", columns, searchFilter=of_parent, **by_name))]
    return links


@contextlib.contextmanager
def server(store: str, port: int) -> Iterator[subprocess.Popen[Any]]:
    """Starts MLflow's server, waits until it answers, and ends it with the context.

    Yields:
        the server's process.

    Raises:
        UserError: another program uses the port, or the server does not start.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(f"PORT: found {port}, {error.strerror}; another: make ui PORT={port + 1}") from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with for_mlflow(Path(store)) as uri:
        words = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1",
                 "--backend-store-uri", uri, "--uvicorn-opts", "--log-level warning --no-access-log"]  # fmt: skip
        # In a new session, so that Ctrl-C reaches only this program and the server does not print a traceback.
        process = subprocess.Popen(words, env=os.environ | QUIET, start_new_session=True)
        try:
            while process.poll() is None:
                with contextlib.suppress(OSError), urlopen(f"http://{HOST}:{port}/health", timeout=5):
                    break
                time.sleep(0.1)
            else:
                raise UserError("MLflow's server did not start, see above")
            yield process
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Nothing listens where another machine could reach it."""

import ipaddress
import json
import os
import subprocess
import sys

import psutil
import pytest
from commands import run_here, start_fresh, wait_for
from servers import free_port

from drc_lab.tracking.run import tracked_run
from drc_lab.tracking.spec import TrackingSpec

TINY = [
    "policy=mlp", "algo.rollouts.num_envs=16", "algo.rollouts.num_steps=4", "algo.rollouts.frames=640",
    "evaluation.num_levels=10", "evaluation.every_frames=320", "threads=1", "callbacks.videos=null", "folder=run",
    "root=.", "+callbacks.look._target_=look.Look",
]  # fmt: skip
LOOK = """
import json
from pathlib import Path
import lightning as L
import psutil

class Look(L.Callback):
    def on_train_start(self, trainer, agent):
        found = [c.laddr.ip for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN]
        Path(f"listens-{trainer.global_rank}.json").write_text(json.dumps(found))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "look.py").write_text(LOOK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "look", raising=False)
    return tmp_path


def seen(folder, rank):
    return json.loads((folder / f"listens-{rank}.json").read_text())


def test_a_training_listens_nowhere(folder, monkeypatch, capfd):
    before = {c.laddr.port for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN}
    code, _, errors = run_here(monkeypatch, capfd, *TINY)
    assert (code, errors) == (0, "") and len(seen(folder, 0)) == len(before)


@pytest.mark.slow
def test_ranks_meet_where_only_this_machine_can(folder):
    process = start_fresh(folder, "trainer=ddp", *TINY)
    _, errors = process.communicate(timeout=240)
    assert (process.returncode, errors) == (0, "")
    for rank in range(2):
        addresses = seen(folder, rank)
        assert addresses and all(ipaddress.ip_address(each).is_loopback for each in addresses), addresses


@pytest.mark.slow
def test_the_pages_are_for_this_machine_only(tmp_path):
    with tracked_run(TrackingSpec(f"sqlite:///{tmp_path}/mlflow.db"), tmp_path / "run", "study", None, {}):
        pass
    port = free_port()
    words = [sys.executable, "-m", "drc_lab.tracking.ui", f"{tmp_path}/mlflow.db", str(port)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=os.environ | {"MLFLOW_HOST": "0.0.0.0"}) as ui:
        try:
            wait_for(lambda: "all studies" in ui.stdout.readline(), ui)
            family = [psutil.Process(ui.pid), *psutil.Process(ui.pid).children(recursive=True)]
            sockets = [c for each in family for c in each.net_connections("inet") if c.status == psutil.CONN_LISTEN]
            assert {c.laddr.ip for c in sockets} == {"127.0.0.1"} and port in {c.laddr.port for c in sockets}
        finally:
            ui.terminate()

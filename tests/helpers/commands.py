"""Ways to give the command line in a test, and to read what it left.

In this process (`run_here`), where nothing of it stays behind; as a fork of a process that has everything imported
(`run`, `start`), which takes a second; afresh (`run_fresh`, `start_fresh`), which takes eight, where the interpreter's
start is part of what is tested: that of jobs and ranks that start others, say.
"""

import subprocess
import sys
import time

from forked import Fork
from mlflow.tracking import MlflowClient

from drc_lab.__main__ import main

TINY = [
    "algo.rollouts.frames=1920", "algo.rollouts.num_envs=16", "algo.rollouts.num_steps=4", "algo.log_every_rollouts=5",
    "policy.hidden_channels=4", "policy.num_layers=1", "policy.repeats_per_step=1", "policy.proj_dim=8",
    "evaluation.num_levels=20", "evaluation.every_frames=640", "thinking.first_passes=[0,2]",
]  # fmt: skip


def run_here(monkeypatch, capsys, *words):
    """The command line in this process: exit code, what it printed, its complaint."""
    monkeypatch.setattr(sys, "argv", ["drc_lab", *words])
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = stop.code
    output, errors = capsys.readouterr()
    return code, output, errors


def start(folder, *overrides, interruption=()):
    """A `Fork` that works in a folder."""
    return Fork(folder, overrides, interruption)


def run(folder, *overrides, timeout=240, interruption=()):
    """A `Fork` that has ended."""
    with start(folder, *overrides, interruption=interruption) as process:
        stdout, stderr = process.communicate(timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def command(*overrides):
    return [sys.executable, "-m", "drc_lab", *overrides]


def start_fresh(folder, *overrides, **more):
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command(*overrides), cwd=folder, text=True, **pipes, **more)


def run_fresh(folder, *overrides, timeout=240):
    pipes = {"stdin": subprocess.DEVNULL, "capture_output": True}
    return subprocess.run(command(*overrides), cwd=folder, text=True, timeout=timeout, **pipes)


def wait_for(condition, process, seconds=240):
    """What the condition comes to, once it is true, while the process works."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def store(folder):
    """The client of a folder's store, and the experiments in it."""
    client = MlflowClient(f"sqlite:///{folder}/outputs/mlflow.db")
    return client, [e for e in client.search_experiments() if e.name != "Default"]


SIGNAL_AT = """
import signal
from pathlib import Path

import lightning as L

class SignalAt(L.Callback):
    def __init__(self, number, frames, rank=0):
        self.number, self.frames, self.rank, self.sent = number, frames, rank, Path("signal-sent").resolve()

    def on_train_batch_end(self, trainer, agent, outputs, batch, batch_idx):
        if agent.frames >= self.frames and trainer.global_rank == self.rank and not self.sent.exists():
            self.sent.touch()
            signal.raise_signal(self.number)
"""


def signal_at(folder, number, frames, rank=0):
    """Overrides for a fresh process that works in a folder: it gets a signal once, when it has come to some frames."""
    (folder / "signal_at.py").write_text(SIGNAL_AT)
    values = {"_target_": "signal_at.SignalAt", "number": int(number), "frames": frames, "rank": rank}
    return [f"+callbacks.signal_at.{key}={value}" for key, value in values.items()]


def curve(root, metric):
    """All points of a metric over all runs in a store, by step."""
    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    points = [(m.step, m.value) for r in runs for m in client.get_metric_history(r.info.run_id, metric)]
    assert points
    return sorted(points)

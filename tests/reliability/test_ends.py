"""How a training ends when a rank is killed, a gradient is not finite, or the clock goes backwards."""

import itertools
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from commands import run, run_fresh, run_here, start_fresh, store, wait_for
from lightning.pytorch.callbacks import Callback
from trainings import ALL_STATE, recorded, same

from drc_lab.errors import UserError
from drc_lab.learning.agent import Agent
from drc_lab.learning.checkpoints import read_checkpoint, write_checkpoint
from drc_lab.tracking.journal import last_status

pytestmark = pytest.mark.slow
TWO_RANKS = [
    "trainer=ddp", "algo.rollouts.num_envs=16", "algo.rollouts.num_steps=4", "algo.rollouts.frames=25_600",
    "policy=mlp", "evaluation.num_levels=20", "evaluation.every_frames=1280", "callbacks.videos=null", "threads=1",
    "folder=outputs/run", "tracking.system_metrics_seconds=null",
]  # fmt: skip
SECONDS = 20  # in which a training ends that lost a rank; it takes less than one where nothing else runs


def test_a_training_that_loses_a_rank_ends_soon_in_one_line_and_goes_on(tmp_path):
    last = tmp_path / "outputs/run/checkpoints/last.ckpt"
    process = start_fresh(tmp_path, *TWO_RANKS)
    wait_for(last.is_file, process)
    (rank,) = (child for child in psutil.Process(process.pid).children() if "drc_lab" in " ".join(child.cmdline()))
    rank.kill()
    began = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < SECONDS
    assert process.returncode == 1 and errors.count("\n") == 1, errors
    assert f"drc_lab: rank 1 (process {rank.pid}) was killed by SIGKILL; go on with:  " in errors, errors
    client, (experiment,) = store(tmp_path)
    (lost,) = client.search_runs([experiment.experiment_id])
    assert lost.info.status == "FAILED" and 0 < read_checkpoint(last)["frames"] < 25_600
    resumed = run_fresh(tmp_path, *TWO_RANKS)
    assert (resumed.returncode, resumed.stderr) == (0, "")
    (one,) = client.search_runs([experiment.experiment_id])
    assert one.info.status == "FINISHED" and one.info.run_id == lost.info.run_id
    assert read_checkpoint(last)["frames"] == 25_600


def test_the_run_of_a_rank_0_that_is_killed_is_ended_by_another_rank(tmp_path):
    process = start_fresh(tmp_path, *TWO_RANKS)
    wait_for((tmp_path / "outputs/run/checkpoints/last.ckpt").is_file, process)
    process.kill()
    began = time.monotonic()
    _, errors = process.communicate(timeout=60)  # of all ranks, as they share the streams
    assert time.monotonic() - began < SECONDS
    assert errors.count("\n") == 1, errors
    assert f"drc_lab: rank 0 (process {process.pid}) was killed; go on with:  " in errors, errors
    client, (experiment,) = store(tmp_path)
    (lost,) = client.search_runs([experiment.experiment_id])
    assert lost.info.status == "KILLED" == last_status(tmp_path / "outputs/run")
    logged = max(m.step for m in client.get_metric_history(lost.info.run_id, "loss/total"))
    assert logged >= read_checkpoint(tmp_path / "outputs/run/checkpoints/last.ckpt")["frames"]


class NoGradient(Callback):
    """Lets the backward pass make a NaN once, after a forward pass in which all was finite."""

    def __init__(self, frames: int):
        self.frames = frames

    def on_train_batch_start(self, trainer, agent: Agent, batch, batch_idx):
        if batch.frames >= self.frames:
            agent.policy.head.value.weight.register_hook(lambda gradient: gradient * float("nan"))


def test_a_gradient_that_is_not_finite_ends_a_training_which_goes_on_without_it(tmp_path, monkeypatch, capsys):
    for name in ("whole", "spoilt"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        if name == "spoilt":
            spoil = [f"+callbacks.spoil._target_={__name__}.NoGradient", "+callbacks.spoil.frames=1500"]
            code, _, errors = run_here(monkeypatch, capsys, *ALL_STATE, *spoil)
            assert code == 1 and errors.count("\n") == 1, errors
            assert "gradient of head.value.weight is nan at 1,536 frames; the training stops" in errors
            state = read_checkpoint("run/checkpoints/last.ckpt")
            assert state["frames"] == 1408 and all(weight.isfinite().all() for weight in state["state_dict"].values())
            assert last_status(Path("run")) == "FAILED"
        assert run_here(monkeypatch, capsys, *ALL_STATE)[::2] == (0, "")
    found, wanted = (recorded(tmp_path / name / "run", here=True) for name in ("spoilt", "whole"))
    for each in (found, wanted):  # which name the callback
        del each["params"]
        for state in each["checkpoints"].values():
            del state["config"]["callbacks"]
    same(found, wanted, "spoilt")


# --- the clock ---


def backwards(*args, **kwargs):
    """From now on the clock of this process, and the times of its files, are an hour earlier at each look."""
    times = itertools.count(time.time(), -3600)
    time.time = lambda: next(times)
    time.time_ns = lambda: int(next(times) * 1e9)


def test_a_clock_that_goes_backwards_changes_nothing(tmp_path):
    """Neither what is trained and recorded nor the time limit, nor from where a second process goes on."""
    words = [*ALL_STATE, "trainer.max_time=00:01:00:00"]
    for name in ("whole", "backwards"):
        folder = tmp_path / name
        folder.mkdir()
        if name == "backwards":
            fault = ("drc_lab.learning.rollouts:RolloutStream.collect", 10, signal.SIGKILL)
            assert run(folder, *words, interruption=fault).returncode == -signal.SIGKILL
            for path in (folder / "run/checkpoints").iterdir():
                os.utime(path, (0, 0))
            fault = ("drc_lab.learning.rollouts:RolloutStream.collect", 1, backwards)
            process = run(folder, *words, interruption=fault)
        else:
            process = run(folder, *words)
        assert (process.returncode, process.stderr) == (0, "")
    found, wanted = (recorded(tmp_path / name / "run") for name in ("backwards", "whole"))
    for state in [*found["checkpoints"].values(), *wanted["checkpoints"].values()]:
        assert 0 < state["callbacks"].pop("Timer")["time_elapsed"]["train"] < 600
    same(found, wanted, "backwards")


def test_the_newest_checkpoint_is_that_of_the_most_frames_whatever_the_clock_says(tmp_path):
    folder = tmp_path / "checkpoints"
    for number in range(3):
        path = folder / f"frames-{number}.ckpt"
        write_checkpoint({"config": {"env": {}, "policy": {}}, "state_dict": {}, "frames": number}, path)
        os.utime(path, (10**9 - number, 10**9 - number))
    (folder / "last.ckpt").write_bytes(b"PK\x03\x04")
    with pytest.raises(UserError, match=r"the newest whole one beside it is frames-2\.ckpt, of 2 frames"):
        read_checkpoint(folder / "last.ckpt")

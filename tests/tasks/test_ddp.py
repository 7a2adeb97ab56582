"""Training on two ranks for real, on this machine's CPU: by Lightning's launcher, torchrun and Slurm's variables."""

import os
import signal
import socket
import subprocess
import sys

import pytest
import torch
from commands import curve, run, run_fresh, signal_at, start_fresh, store
from mlflow.tracking import MlflowClient

TINY = [
    "trainer=ddp", "algo.rollouts.num_envs=16", "algo.rollouts.num_steps=4", "algo.rollouts.minibatches=2",
    "algo.rollouts.frames=12_800", "algo.log_every_rollouts=50", "policy=mlp", "evaluation.num_levels=20",
    "evaluation.every_frames=1280", "threads=1", "algo=ppo", "algo.rollouts.epochs=2", "algo.loss.target_kl=0.0005",
]  # fmt: skip
CRASH = """
import lightning as L

class Crash(L.Callback):
    def __init__(self, rank):
        self.rank = rank

    def on_train_batch_end(self, trainer, agent, outputs, batch, batch_idx):
        if trainer.global_rank == self.rank and batch_idx == 10:
            raise RuntimeError("the roof is on fire")
"""


def slurm_tasks(folder, *overrides):
    """As ``srun --ntasks 2`` starts them."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    job = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2",
           "SLURM_NNODES": "1", "SLURM_NODELIST": "localhost", "SLURM_NODEID": "0", "MASTER_ADDR": "localhost",
           "MASTER_PORT": str(port)}  # fmt: skip
    numbers = [{"SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)} for task in range(2)]
    return [start_fresh(folder, *overrides, env=os.environ | job | number) for number in numbers]


@pytest.mark.slow
def test_every_launcher_trains_the_same_and_a_stop_changes_nothing(tmp_path):
    """Whole by torchrun; stopped as a job of Slurm, whose warning signal one task got, and gone on with by Lightning's
    own launcher. Each is one MLflow run."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "-m", "drc_lab"]
    pipes = {"capture_output": True, "text": True, "timeout": 200}
    whole = subprocess.run([*torchrun, *TINY, "root=whole", "folder=whole/run"], cwd=tmp_path, **pipes)
    assert whole.returncode == 0, whole.stderr

    once = signal_at(tmp_path, signal.SIGUSR1, 3000, rank=1)
    tasks = slurm_tasks(tmp_path, *TINY, *once, "folder=outputs/run")
    (_, errors), (said, wrong) = (task.communicate(timeout=240) for task in tasks)
    assert [task.returncode for task in tasks] == [75, 0] and "SIGTERM after" in errors and said == "", errors + wrong
    client, (experiment,) = store(tmp_path)
    (stopped,) = client.search_runs([experiment.experiment_id])
    stopped_at = torch.load(tmp_path / "outputs/run/checkpoints/last.ckpt", weights_only=True)["frames"]
    assert stopped.info.status == "KILLED" and stopped_at == 3008
    other = run(tmp_path, *TINY, "folder=outputs/run", "trainer.devices=1")
    assert other.returncode == 2 and "trainer.devices: found 1, allowed: 2 in all" in other.stderr

    resumed = run_fresh(tmp_path, *TINY, "folder=outputs/run")
    assert (resumed.returncode, resumed.stderr) == (0, "")
    (one,) = client.search_runs([experiment.experiment_id])
    assert one.info.status == "FINISHED" and one.info.run_id == stopped.info.run_id
    a, b = (
        torch.load(tmp_path / f"{root}/run/checkpoints/last.ckpt", weights_only=True) for root in ("whole", "outputs")
    )
    assert a["frames"] == b["frames"] == 12_800 and a["global_step"] == b["global_step"] == 800
    for name, weight in a["state_dict"].items():
        assert torch.equal(weight, b["state_dict"][name]), name
    for metric in ("loss/total", "loss/grad_norm", "train/return", "valid/solve_rate"):
        assert curve(tmp_path / "outputs", metric) == curve(tmp_path / "whole", metric), metric
    left_out = [value for _, value in curve(tmp_path / "whole", "loss/kl_stop")]
    assert 0 < sum(left_out) < len(left_out)
    ours = MlflowClient(f"sqlite:///{tmp_path}/whole/mlflow.db")
    assert len(ours.search_runs([e.experiment_id for e in ours.search_experiments()])) == 1
    assert {path.name for path in (tmp_path / "outputs").iterdir()} == {"mlflow.db", "artifacts", "run"}


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_in_one_rank_ends_all_and_the_run_has_failed(tmp_path, rank):
    (tmp_path / "crash.py").write_text(CRASH)
    crash = ["+callbacks.crash._target_=crash.Crash", f"+callbacks.crash.rank={rank}"]
    process = start_fresh(tmp_path, *TINY, *crash)
    _, errors = process.communicate(timeout=240)  # returns when no process holds the pipe any more
    assert process.returncode == 1 and "the roof is on fire" in errors
    client, (experiment,) = store(tmp_path)
    (one,) = client.search_runs([experiment.experiment_id])
    assert one.info.status == "FAILED"

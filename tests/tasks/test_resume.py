"""The same command in the same folder goes on: what was stopped or killed ends like what was not."""

import contextlib
import random
import signal
import subprocess
import time

import pytest
import torch
from commands import run, start
from mlflow.tracking import MlflowClient
from trainings import STATEFUL, left, same

WHOLE = [
    *STATEFUL,
    "algo.rollouts.frames=4800",
    "evaluation.live_every=2",
    "checkpoints.every_minutes=0.01",
    "callbacks.videos.levels=1",
]
KILLS = 20
ROLLOUT = "drc_lab.learning.rollouts:RolloutStream.collect"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_20_random_moments_and_resumed_a_training_leaves_what_one_does_that_never_stopped(tmp_path):
    (tmp_path / "whole").mkdir()
    run(tmp_path, "--help")  # what forks share is imported before the clock starts
    started = time.monotonic()
    whole = run(tmp_path / "whole", *WHOLE)
    seconds = time.monotonic() - started
    assert whole.returncode == 0, whole.stderr
    reference, moments, chain, kills = left(tmp_path / "whole"), random.Random(0), 0, 0
    while kills < KILLS:
        folder, chain = tmp_path / f"chain{chain}", chain + 1
        folder.mkdir()
        while True:
            with start(folder, *WHOLE) as process, contextlib.suppress(subprocess.TimeoutExpired):
                _, errors = process.communicate(moments.uniform(0, 0.4 * seconds) if kills < KILLS else None)
                break
            kills += 1  # the context kills what it leaves
        assert process.returncode == 0, errors
        same(left(folder), reference, folder.name)


@pytest.mark.slow
def test_each_way_to_resume(tmp_path):
    """never begins anew in the same folder; a path goes on in its run's folder, another training is refused."""

    def leave(*more, by=None):
        """Exit code and all that it said; a signal comes in the tenth rollout."""
        interruption = (ROLLOUT, 10, by) if by else ()
        process = run(tmp_path, *WHOLE, *more, interruption=interruption)
        return process.returncode, process.stdout + process.stderr

    def runs():
        client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
        found = client.search_runs([e.experiment_id for e in client.search_experiments()])
        return {one.info.run_id: one.info.status for one in found}

    def frames(name="last.ckpt"):
        return torch.load(tmp_path / "run/checkpoints" / name, weights_only=True)["frames"]

    code, log = leave(by=signal.SIGTERM)
    assert code == 75 and "SIGTERM after" in log and "folder=run" in log, log
    assert set(runs().values()) == {"KILLED"} and 0 < (stopped := frames()) < 4800
    code, log = leave("algo.loss.gamma=0.5")
    assert code == 2 and "algo.loss.gamma: found 0.5, allowed: 0.97, as in the run that " in log, log
    code, log = leave("algo.rollouts.groups=1")
    assert code == 2 and "algo.rollouts.groups: found 1, allowed: 2, as in the run that goes on" in log, log
    code, log = leave("resume=now")
    assert code == 2 and "resume: found no file 'now'" in log, log
    code, log = leave(by=signal.SIGUSR1)
    assert code == 75 and "SIGUSR1 after" in log and frames() > stopped, log
    code, log = leave("folder=other", "resume=run/checkpoints/last.ckpt")
    assert code == 0 and "run/checkpoints/best.ckpt" in log and not (tmp_path / "other").exists(), log
    assert list(runs().values()) == ["FINISHED"] and frames() == 4800
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    code, log = leave()
    assert code == 0 and log.count("\n") == 1 and "finished; resume=never begins anew" in log, log
    assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    code, log = leave("resume=never", by=signal.SIGINT)
    assert code == 130 and frames() < 4800 and len(runs()) == 2, log
    assert all(frames(path.name) <= frames() for path in (tmp_path / "run/checkpoints").glob("*.ckpt"))

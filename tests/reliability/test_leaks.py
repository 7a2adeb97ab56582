"""What a training holds does not grow with the number of its rollouts: memory, open files, threads.

MLflow loads parts of itself when they are first used, whenever that is, so it is left out here; tools/long_run.py
watches long trainings with it.
"""

import ctypes
import json
import os
import sys

import pytest
from commands import run
from held import looks
from scipy.stats import theilslopes

ROLLOUTS = 1200
WARM_UP = 0.3  # of the rollouts: memory is still being put to its first use
LEAK = int(os.environ.get("LEAK", 0))  # bytes kept at each rollout, to see the test fail
BYTES, MEGABYTES = 300, 8  # most that a rollout may add, and the resident memory from the warm-up on


@pytest.mark.slow
@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs glibc 2.33"
)
def test_rollouts_leave_nothing_in_memory(tmp_path):
    words = [
        "policy=mlp", "algo.rollouts.num_envs=64", "algo.rollouts.num_steps=4", "evaluation.live_every=1",
        f"algo.rollouts.frames={256 * ROLLOUTS}", "evaluation.num_levels=20", "evaluation.every_frames=51_200",
        "algo.log_every_rollouts=20", "callbacks.videos=null", "tracking=[]", "threads=1", "root=.", "folder=run",
    ]  # fmt: skip
    watch = ("drc_lab.learning.rollouts:RolloutStream.collect", None, looks(tmp_path / "held.jsonl", LEAK))
    process = run(tmp_path, *words, interruption=watch)
    assert (process.returncode, process.stderr) == (0, "")
    held = [json.loads(line) for line in (tmp_path / "held.jsonl").read_text().splitlines()]
    assert held[-1]["calls"] == ROLLOUTS
    steady = [one for one in held if one["calls"] > WARM_UP * ROLLOUTS]
    found = theilslopes([one["bytes"] for one in steady], [one["calls"] for one in steady])
    grown = steady[-1]["rss_mb"] - steady[0]["rss_mb"]
    print(
        f"bytes a rollout: {found.slope:.0f} ({found.low_slope:.0f} to {found.high_slope:.0f}); {grown:.1f} MB resident"
    )
    assert found.slope < BYTES and grown < MEGABYTES
    for name in ("files", "threads"):
        assert len({one[name] for one in steady}) == 1, name

"""The speed table: peers beside our own envs, one core, and honest units."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from drc_lab.errors import ConfigError, UserError
from drc_lab.speed.timing import timed
from drc_lab.tasks.env_speed import SpeedSpec, envpool, jumanji, one_core, ours

TINY = SpeedSpec(num_envs=8, steps=20, timings=1)


@pytest.mark.parametrize(("peer", "module"), [(envpool, "envpool"), (jumanji, "jumanji")])
def test_a_missing_peer_is_told_in_one_line(monkeypatch, peer, module):
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=r"speed\.peers: .* is missing: pip install 'drc-lab\[bench\]'"):
        peer(TINY)


@pytest.mark.slow
@pytest.mark.parametrize(("peer", "steps"), [("envpool", 8), ("jumanji", 160)])
def test_a_peer_runs_and_counts_its_steps(peer, steps):
    """In a process of its own: they start threads, and leave files open."""
    if find_spec(peer) is None:
        pytest.skip(f"{peer} is an extra")
    script = f"from drc_lab.tasks.env_speed import *; print({peer}(SpeedSpec(num_envs=8, steps=20, timings=1))())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.split()[-1:] == [str(steps)], done.stderr


def test_our_runs_count_their_steps():
    settings = {"height": 4, "width": 4, "num_levels": 10}
    assert ours(TINY, "drc_lab/RicochetRobots-v0", settings)() == 160


def test_speed_is_the_median_of_steps_per_second(monkeypatch):
    seconds, clock = iter([100.0, 0.5, 8.0, 0.25]), [0.0]
    monkeypatch.setattr("drc_lab.speed.timing.perf_counter", lambda: clock[0])

    def run():
        clock[0] += next(seconds)
        return 10

    assert timed({"one": run}, 3) == {"one": 20.0}  # the first run compiles


def test_one_core_is_held_and_given_back():
    before = os.sched_getaffinity(0)
    with one_core():
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before


def test_impossible_settings_name_the_key():
    with pytest.raises(ConfigError, match="timings: found 0"):
        SpeedSpec(timings=0)

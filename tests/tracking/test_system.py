"""What the machine does is measured beside a run, and never in its way."""

import threading
import time

import pytest
from servers import free_port

from drc_lab.errors import ConfigError
from drc_lab.tracking.journal import Journal
from drc_lab.tracking.run import Run, tracked_run
from drc_lab.tracking.spec import TrackingSpec
from drc_lab.tracking.system import PREFIX, system_metrics


def measured(folder):
    """Steps of the system metrics in the journal of a run, and their names."""
    with Journal(folder / "tracking.jsonl") as journal:
        points = [operation for operation, _ in journal.read(0) if operation["op"] == "metrics"]
    return [point["step"] for point in points], {name for point in points for name in point["values"]}


def wait_for_points(folder, number):
    """Returns when so many points were measured in a run that goes on, 60 seconds at most."""
    deadline = time.monotonic() + 60
    while sum(PREFIX in line for line in (folder / "tracking.jsonl").read_text().splitlines()) < number:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_steps_are_seconds_of_running_time_and_go_on_with_the_run(tmp_path):
    started, before = time.monotonic(), 0
    for resume in (False, True):
        with tracked_run(TrackingSpec(), tmp_path, "study", None, {}, resume) as run, system_metrics(run, 1):
            wait_for_points(tmp_path, before + 2)
        before = len(measured(tmp_path)[0])
    steps, names = measured(tmp_path)
    assert steps == sorted(set(steps)) and len(steps) >= 4 and steps[-1] <= time.monotonic() - started + 1
    some = ("cpu_utilization_percentage", "system_memory_usage_megabytes", "disk_available_megabytes")
    assert {PREFIX + name for name in some} <= names and all(name.startswith(PREFIX) for name in names)


def test_nothing_is_measured_after_the_end_and_a_short_run_is_measured_once(tmp_path):
    with tracked_run(TrackingSpec(), tmp_path, "study", None, {}) as run:
        with system_metrics(run, 60):
            assert "system metrics" in {thread.name for thread in threading.enumerate()}
        assert "system metrics" not in {thread.name for thread in threading.enumerate()}
    assert len(measured(tmp_path)[0]) == 1


def test_a_run_that_records_nothing_is_not_measured():
    """As those of all ranks but the first."""
    with system_metrics(Run("study"), 1):
        assert "system metrics" not in {thread.name for thread in threading.enumerate()}


def test_a_server_that_is_away_neither_stops_nor_delays_measuring(tmp_path):
    """Asking it would take MLflow minutes."""
    with tracked_run(TrackingSpec(), tmp_path, "study", None, {}) as run:
        run.journal.add("run", experiment="study", uri=f"http://127.0.0.1:{free_port()}", run_id="0", experiment_id="0")
    spec = TrackingSpec(f"http://127.0.0.1:{free_port()}", patience_seconds=0)
    said = []
    with tracked_run(spec, tmp_path, "study", None, {}, True, said.append) as run, system_metrics(run, 1):
        wait_for_points(tmp_path, 2)
    assert sum("is away" in line for line in said) <= 1


def test_intervals_below_a_second_are_refused():
    with pytest.raises(ConfigError, match=r"system_metrics_seconds: found 0\.5, allowed: at least 1"):
        TrackingSpec(system_metrics_seconds=0.5)

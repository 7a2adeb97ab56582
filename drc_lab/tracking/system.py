"""System metrics during a run: processor, memory, disk, network and GPUs, measured by MLflow's monitors.

MLflow's own `SystemMetricsMonitor` asks the server for the run's status at every sample, stops permanently the first
time it gets no answer, and makes the end of a run wait for that answer. So only its individual monitors are used here,
and their values are written to the journal like all other metrics.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
from mlflow.system_metrics.metrics.rocm_monitor import ROCMMonitor

from drc_lab.tracking.run import Run

PREFIX = "system/"


@contextmanager
def system_metrics(run: Run, seconds: float | None) -> Iterator[None]:
    """Measures every ``seconds`` seconds in a thread, and once more when the context ends. None measures nothing.

    The step is the running time in seconds. A resumed run continues counting where it stopped, without the pause.
    """
    if seconds is None or run.journal is None:
        yield
        return
    monitors = _monitors()
    first, started = run.journal.last_step(PREFIX) + 1, time.monotonic()

    def measure() -> dict[str, float]:
        values: dict[str, float] = {}
        for monitor in monitors:
            monitor.collect_metrics()
            values |= {PREFIX + name: value for name, value in monitor.aggregate_metrics().items()}
            monitor.clear_metrics()
        return values

    def watch() -> None:
        with suppress(Exception):  # a failure must not end the run; a full disk is reported elsewhere
            measure()  # processor load is measured since the previous call, so the first value is meaningless
            ended = False
            while not ended:
                ended = over.wait(seconds)
                run.log_metrics(measure(), first + int(time.monotonic() - started))

    over, thread = threading.Event(), threading.Thread(target=watch, name="system metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _monitors() -> list[BaseMetricsMonitor]:
    monitors: list[BaseMetricsMonitor] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    for gpus in (GPUMonitor, ROCMMonitor):
        with suppress(Exception):  # there are no such GPUs, or the library to query them is not installed
            monitors.append(gpus())
    return monitors

"""What the machine does while a run goes on: processor, memory, disk, network, GPUs, as MLflow measures them.

MLflow's own `SystemMetricsMonitor` asks the server for the run's status at every sample, ends for good the first time
it gets no answer, and makes the end of a run wait for that answer. So its monitors measure here, and what they measure
goes the way of all metrics: into the journal.
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
    """Measures every so many seconds, in a thread, and when the context ends. None is never.

    The step is seconds of running time: a run that goes on counts on, without its pauses.
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
        with suppress(Exception):  # a run is not worth less without; a full disk shows elsewhere
            measure()  # the processor's load is that since this thread's call before, and the first means nothing
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
    found: list[BaseMetricsMonitor] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    for gpus in (GPUMonitor, ROCMMonitor):
        with suppress(Exception):  # no such GPUs, or not the library that asks them
            found.append(gpus())
    return found

"""What all tests share."""

import os
import shutil
import signal
import sys
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")

import pytest
import torch
from shape_checks import check_shapes, checked_calls

check_shapes()  # before any test imports what it checks

REFERENCE = Path(__file__).parents[2] / "shared" / "reference"  # data of the original code, where it is at hand
THREADS = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2  # several workers share the cores
if THREADS == 1:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # also for the processes that a test starts


if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a shell that runs tests in the background ignores it for them,
    signal.signal(signal.SIGINT, signal.default_int_handler)  # and they interrupt the processes that they start


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))


@pytest.fixture(autouse=True)
def _same_start():
    """Tests pass or fail alike in any order: seed, threads (also of processes that they start), path of modules."""
    torch.manual_seed(0)
    torch.set_num_threads(THREADS)
    checked_calls.clear()
    threads, folders = os.environ.get("OMP_NUM_THREADS"), list(sys.path)
    yield
    sys.path[:] = folders  # a command in this process adds the current folder
    os.environ.pop("OMP_NUM_THREADS", None)  # a training in this process may have set it
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = threads


@pytest.fixture
def reference():
    """The folder with data of the original implementations; tests of it are skipped where it is missing."""
    if not REFERENCE.is_dir():
        pytest.skip("the reference data of the original code is not here")
    return REFERENCE


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A database with MLflow's tables, to be copied: MLflow takes seconds to make them."""
    from drc_lab.tracking.mlflow import Store  # imports MLflow, which other tests do not need

    path = tmp_path_factory.mktemp("store") / "empty.db"
    Store(f"sqlite:///{path}").client.search_experiments()
    return path


@pytest.fixture
def browser():
    """Headless Chromium, in which a test opens pages as a person does; skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not here: pip install drc-lab[dev]")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])  # of root in a container
        yield running
        running.close()

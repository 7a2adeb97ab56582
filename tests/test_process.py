"""Settings of the whole process."""

import os
import subprocess
import sys

import pytest
import torch

from drc_lab.process import start_process


@pytest.mark.parametrize(("threads", "given", "expected"), [(None, "2", 2), (3, "2", 3), (1, "", 1)])
def test_threads_are_those_that_are_asked_for_or_else_those_that_a_launcher_gives(
    monkeypatch, threads, given, expected
):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    start_process(0, threads)
    assert torch.get_num_threads() == expected
    assert os.environ["OMP_NUM_THREADS"] == str(threads or given)  # what ranks that are started later go by


def test_deterministic_lets_torch_take_no_other_algorithm(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    start_process(0, 1, deterministic=True)
    assert torch.are_deterministic_algorithms_enabled() and os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    start_process(0, 1)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(("own", "expected"), [(None, "1000"), ("7", "7")])
def test_threads_of_torch_do_not_spin_on_cores_that_others_wait_for(own, expected):
    """OpenMP looks when torch is imported; what a user has set stays."""
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    environment |= {} if own is None else {"GOMP_SPINCOUNT": own}
    code = "import os, sys, drc_lab; print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert result.stdout.split() == [expected, "False"], result.stderr

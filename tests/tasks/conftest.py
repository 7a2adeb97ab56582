"""What tests of tasks share."""

import io
import sys

import pytest
from commands import run_here


@pytest.fixture
def do(tmp_path, monkeypatch, capsys):
    """A command in this process: what it printed."""
    monkeypatch.chdir(tmp_path)

    def do(*words):
        code, output, errors = run_here(monkeypatch, capsys, *words)
        assert (code, errors) == (0, ""), (output, errors)
        return output

    return do


@pytest.fixture
def play(tmp_path, monkeypatch, capsys):
    """Runs the task in this process, with keys from a pipe: exit code, printed lines, complaint, run folders."""
    monkeypatch.chdir(tmp_path)

    def run(*overrides, keys=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(keys))
        return run_here(monkeypatch, capsys, "task=play", "threads=1", *overrides)

    return run

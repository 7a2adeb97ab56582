"""What tests of tasks share."""

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

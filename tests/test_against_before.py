"""The main job beside an earlier commit: what is printed is of the training alone."""

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
from tool import TOOLS, load_tool

ROOT = Path(__file__).parents[1]
TOOL = TOOLS / "against_before.py"


def test_what_a_start_takes_does_not_count(monkeypatch, tmp_path):
    tool = load_tool("against_before")
    asked = []

    def train(code, threads, frames, overrides, folder):
        asked.append((code, threads, frames, overrides))
        speed, cores = (1_000, 1.5) if code == tmp_path else (4_000, 2)
        return tool.Cost(7 + frames / speed, 9 + cores * frames / speed)

    monkeypatch.setattr(tool, "train", train)
    before, now = tool.by_turns(tmp_path, 2, Namespace(frames=(2_000, 10_000), overrides=["seed=3"]), tmp_path)
    assert before == ("before", 2, 1_000, 1_500, 1.5, 1)
    assert now == ("now", 2, 4_000, 500, 2, 4)
    turns = [(code == tmp_path, frames) for code, _, frames, _ in asked]
    assert turns == [(True, 2_000), (False, 2_000), (True, 10_000), (False, 10_000)]
    assert all(rest == (2, ["seed=3"]) for rest in [(threads, overrides) for _, threads, _, overrides in asked])


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a clone")
def test_a_commit_that_the_clone_does_not_hold_is_one_line(tmp_path):
    command = [sys.executable, TOOL, "--folder", tmp_path, "--before", "0" * 40]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode != 0
    assert result.stderr.splitlines()[-1].startswith("--before: found 0000")
    assert not list(tmp_path.iterdir())

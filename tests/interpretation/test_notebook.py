"""The tutorial runs as it stands, and is short."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs/notebooks/look_inside.py"


@pytest.mark.slow
def test_the_tutorial_runs_from_an_agent_to_a_steered_one(tmp_path):
    lines = [line for line in NOTEBOOK.read_text().splitlines() if line.strip() and not line.startswith("#")]
    assert len(lines) < 80
    result = subprocess.run([sys.executable, NOTEBOOK], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    scores = {name: float(f1) for name, f1 in re.findall(r"^(\S+): macro-F1 ([\d.]+)", result.stdout, re.MULTILINE)}
    assert scores["0.1.c"] > scores["0.0.c"] > scores["observation"]
    video = Path(re.search(r"^video (.+)$", result.stdout, re.MULTILINE)[1])
    assert video.stat().st_size > 10_000

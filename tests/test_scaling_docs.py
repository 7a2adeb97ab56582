"""Every command of docs/scaling.md fits the config. tests/tasks/test_ddp.py and test_sweeps.py run them: torchrun,
Lightning's launcher, Slurm's variables, joblib, submitit's local executor and Optuna."""

import re
import shlex
from pathlib import Path

import pytest
from commands import run_here

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/scaling.md").read_text()
LINES = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
COMMANDS = [line for line in LINES if "-m drc_lab" in line]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_composes(monkeypatch, capfd, command):
    words = shlex.split(command.split("-m drc_lab")[1])
    first = [re.sub(r"=([^,\[]+),.*", r"=\1", word) for word in words if word != "-m"]  # of each sweep
    code, output, errors = run_here(monkeypatch, capfd, *first, "--cfg", "job")
    assert code == 0 and "task: train" in output, errors


def test_every_file_that_is_named_exists():
    named = re.findall(r"\]\(([^)#]+)\)", TEXT) + [f"../{name}" for name in re.findall(r"`(tests/\S+\.py)`", TEXT)]
    assert named and all((ROOT / "docs" / name).exists() for name in named)

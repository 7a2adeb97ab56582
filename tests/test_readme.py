"""What the README and the pages beside it say one can do, one can."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from commands import TINY, run, run_fresh

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "docs/howto.md", "docs/algorithms.md"]


def blocks(*pages):
    """Language and text of each block of code."""
    return [
        block for page in pages for block in re.findall(r"```(\w+)\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    ]


COMMANDS = [
    line.split("#")[0].strip()
    for language, block in blocks(*PAGES)
    if language == "bash"
    for line in block.splitlines()
    if line.startswith("python -m drc_lab")
]


def tiny(words):
    """A command's own overrides, the sizes of the tiny runs where it sets none, and no GPU."""
    mine = {word.split("=")[0] for word in words}
    words = ["trainer.accelerator=cpu" if word == "trainer.accelerator=gpu" else word for word in words]
    sizes = [word for word in TINY if "policy" not in mine or not word.startswith("policy.")]  # those are the DRC's
    return [
        *words,
        *(word for word in sizes if word.split("=")[0] not in mine),
        "algo.rollouts.frames=640",
        "benchmark.only=[a2c]",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_runs_in_a_tiny_form(tmp_path, command):
    words = shlex.split(command)[3:]
    begin = run_fresh if "trainer=ddp" in words else run  # which starts its other rank as it was started
    result = begin(tmp_path, *(words if words == ["--help"] else tiny(words)))
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_that_is_named_exists(page):
    named = set(re.findall(r"`?make (\w[\w-]*)`?", (ROOT / page).read_text()))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named and named <= targets


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]
)
def test_every_linked_file_exists(page):
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (ROOT / page).read_text()):
        assert link.startswith("https://") or (ROOT / page).parent.joinpath(link).exists(), link


def test_make_bench_writes_the_records():
    """Every table of experiments/benchmarks comes from one of the commands, and is copied there at the end."""
    shown = subprocess.run(["make", "-n", "bench"], cwd=ROOT, capture_output=True, text=True, timeout=60).stdout
    *commands, copy = [line for line in shown.splitlines() if "python -m drc_lab" in line or line.startswith("cp ")]
    (before,) = re.findall(r"python tools/against_before.py --folder (\S+)", shown)
    names = [re.search(r"\+experiment=(\w+) folder=(\S+)", line) for line in commands]
    assert {name[1] for name in names} == {"env_speed", "search_speed", "policy_speed", "benchmark"}
    (folder,) = {str(Path(place).parent) for place in [before, *(name[2] for name in names)]}
    assert copy == f"cp {folder}/*/*.csv experiments/benchmarks/"


def test_make_run_is_the_main_job():
    shown = subprocess.run(["make", "-n", "run"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "python -m drc_lab +experiment=thinking_sweep" in shown.stdout, shown

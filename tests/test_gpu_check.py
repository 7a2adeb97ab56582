"""The check of a GPU, in a tiny form on the CPU: every part runs, and what it writes is what was measured."""

import csv
import json
import shutil
import subprocess
import sys

import pytest
from tool import TOOLS, load_tool

TOOL = TOOLS / "gpu_check.py"


@pytest.fixture
def tool():
    return load_tool("gpu_check")


@pytest.fixture
def levels(tmp_path):
    for number, split in enumerate(("train", "valid", "test")):
        folder = tmp_path / "boxoban" / "unfiltered" / split
        folder.mkdir(parents=True)
        boards = []
        for n in range(10):  # one push to the right solves each
            rows = [" " * 9] * 9
            rows[n % 8] = f"{' ' * (2 * number + n // 8)}@$.".ljust(9)
            boards.append("\n".join([f"; {n}", "#" * 11, *(f"#{row}#" for row in rows), "#" * 11, ""]))
        (folder / "000.txt").write_text("\n".join(boards))
    return tmp_path / "boxoban"


def check(*arguments, python=sys.executable):
    return subprocess.run([python, TOOL, *arguments], capture_output=True, text=True, timeout=550)


@pytest.mark.slow
def test_every_part_runs_and_its_tables_come_to_the_folder(tmp_path, levels):
    out = tmp_path / "out"
    result = check("--out", out, "--device", "cpu", "--tiny", "--levels", levels)
    log = (out / "gpu_check.log").read_text()
    assert result.returncode == 0, log[-3000:]
    found = json.loads((out / "gpu_check.json").read_text())
    assert found == json.loads(result.stdout[result.stdout.index("{") :])
    assert set(found["parts"]) == {"machine", "tests", "policy_float32", "policy_tf32", "benchmark", "training"}
    assert found["gpu"] is None and found["tests"]["skipped"] > 20
    assert found["training"]["frames_per_second"] > 0 and found["training"]["frames"] > 0
    rows = list(csv.DictReader((out / "benchmark.csv").read_text().splitlines()))
    assert [row["training"] for row in rows] == ["boxoban", "boxoban_no_graphs"]
    assert len(list(out.iterdir())) <= 8 and all(path.is_file() for path in out.iterdir())


@pytest.mark.slow
def test_a_part_that_fails_does_not_keep_the_others_from_running(tmp_path, levels):
    (levels / "unfiltered" / "train" / "000.txt").write_text("nonsense\n")
    out = tmp_path / "out"
    result = check("--out", out, "--device", "cpu", "--tiny", "--levels", levels, "--parts", "training", "tests")
    parts = json.loads((out / "gpu_check.json").read_text())["parts"]
    assert result.returncode == 1 and parts["training"]["code"] == 2 and parts["tests"]["code"] == 0
    assert "unfiltered/train/000.txt" in (out / "gpu_check.log").read_text()


def test_what_takes_longer_than_the_check_may_is_cut_short(tmp_path, levels):
    out = tmp_path / "out"
    limited = "--minutes", "0.01", "--parts", "training"
    assert check("--out", out, "--device", "cpu", "--tiny", "--levels", levels, *limited).returncode == 1
    parts = json.loads((out / "gpu_check.json").read_text())["parts"]
    assert parts["training"]["code"] == 124 and parts["training"]["seconds"] < 20


def test_only_what_comes_after_the_start_counts_as_pace(tool):
    def point(seconds, step):
        return {
            "op": "metrics",
            "time": 1000 * seconds,
            "step": step,
            "values": {"loss/total": 0.0, "train/solve_rate": 0.25},
        }

    other = {"op": "metrics", "time": 99_000, "step": 9_999, "values": {"valid/solve_rate": 1.0}}
    lines = [{"op": "run", "time": 0}, point(1, 10), point(15, 100), point(17, 300), point(21, 1_100), other]
    assert tool.pace(lines, 15) == {
        "frames_per_second": 200,
        "seconds": 4.0,
        "frames": 1_100,
        "train/solve_rate": 0.25,
    }
    assert tool.pace(lines[:3], 15) == {}


def test_where_packages_are_missing_one_line_says_which_and_how_to_bring_them(tmp_path):
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    if python is None:
        pytest.skip("no Python but the environment's")
    result = check("--out", tmp_path / "out", "--wheels", tmp_path, python=python)
    if "--levels" in result.stderr and "missing:" not in result.stderr:
        pytest.skip("the system's Python has all packages")
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert "hydra" in result.stderr and "make gpu-wheels" in result.stderr and not (tmp_path / "out").exists()


def test_without_levels_it_does_not_begin(tmp_path):
    result = check("--out", tmp_path / "out", "--levels", tmp_path)
    assert result.returncode == 2 and not (tmp_path / "out").exists()
    assert result.stderr == (
        f"gpu_check: --levels: found {tmp_path}, allowed: a folder that holds unfiltered/train/000.txt\n"
    )

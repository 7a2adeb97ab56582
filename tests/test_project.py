"""The project's own papers agree with each other."""

import ast
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from tool import load_tool

import drc_lab
from drc_lab.composing import TASKS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_citation_is_of_this_version_and_licence():
    assert CITATION["version"] == PROJECT["version"] == drc_lab.__version__
    assert CITATION["license"] == PROJECT["license"] == "Apache-2.0"
    assert (ROOT / "LICENSE").read_text().split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert CITATION["authors"] == PROJECT["authors"]


def test_the_changelog_has_what_is_unreleased():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert "\n## [Unreleased]\n" in text


def test_commits_are_checked_by_the_tools_that_are_installed():
    """Hooks of their own environments would have other versions than constraints.txt."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"]
    assert all(hook["language"] == "system" for hook in hooks[0]["hooks"])


def test_the_matrix_tries_the_oldest_python_and_tests_that_exist():
    matrix = load_tool("matrix")
    assert matrix.ENVIRONMENTS[:2] == [
        f"{PROJECT['requires-python'].removeprefix('>=')}{end}" for end in ("-lowest", "")
    ]
    assert all((ROOT / test).is_file() for test in matrix.TESTS)


def test_torch_is_refused_where_only_its_cpu_build_is_wanted_and_there_is_none(tmp_path):
    """No gigabytes of CUDA packages come along."""
    if sys.platform != "linux":
        pytest.skip("elsewhere the ordinary build is that of CPUs")
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@" >>$0.log\nexit 1\n')
    python.chmod(0o755)
    command = [ROOT / "tools/install_torch.sh", python, "2.6.0"]
    result = subprocess.run(
        command, env=os.environ | {"TORCH_CPU_ONLY": "1"}, capture_output=True, text=True, timeout=60
    )
    asked = [line for line in Path(f"{python}.log").read_text().splitlines() if "install" in line]
    assert result.returncode == 1 and "No CPU build of torch 2.6.0" in result.stderr
    assert asked and all(line.endswith("torch==2.6.0+cpu") for line in asked)


def test_the_page_of_a_task_begins_with_its_command_and_its_main():
    """What a reader of drc_lab/tasks sees first is how the task is run, and its outline; the parts lie beneath."""
    for task in TASKS:
        page = ast.parse((ROOT / f"drc_lab/tasks/{task}.py").read_text())
        functions = [node.name for node in page.body if isinstance(node, ast.FunctionDef)]
        assert functions[0] == "main", task
        assert "python -m drc_lab" in (ast.get_docstring(page) or ""), task

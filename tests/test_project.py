"""The project's own papers agree with each other."""

import tomllib
from pathlib import Path

import yaml

import drc_lab

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

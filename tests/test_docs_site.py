"""The documentation site: `make docs` builds it without a warning, and it needs no network. The pages' own claims of
keys, names and metrics hold, and the picture of the packages is that of the imports."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from tool import load_tool

from drc_lab.paths import AGENTS, CONF

ROOT = Path(__file__).parents[1]
STUDIES = sorted(path.parent.name for path in ROOT.glob("experiments/*/README.md"))
GLOSSARY = (ROOT / "docs/glossary.md").read_text()


class References(HTMLParser):
    """What a page loads, and where it leads."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.leads, self.parts = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if "src" in attrs or (tag == "link" and "href" in attrs):
            self.loads.append(attrs.get("src") or attrs["href"])
        if tag == "a" and "href" in attrs:
            self.leads.append(attrs["href"])
        self.parts |= {attrs.get("id"), attrs.get("name")}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The whole site, built with warnings as errors."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    result = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0 and "WARNING" not in result.stderr, result.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {path: References(path.read_text()) for path in site.rglob("*.html")}


def test_nothing_is_loaded_from_elsewhere(site, pages):
    assert len(pages) > 30
    for path, page in pages.items():
        assert not [link for link in page.loads if urlsplit(link).netloc], path
    for path in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import\s)['\"]?(https?:)?//", path.read_text()), path


def test_every_link_leads_to_a_file_and_a_part_of_it(site, pages):
    for path, page in pages.items():
        if path.name == "404.html":
            continue
        for link in [*page.loads, *page.leads]:
            parts = urlsplit(link)
            if parts.scheme or not (parts.path or parts.fragment):
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            there = there / "index.html" if there.is_dir() else there
            assert there.is_file(), (path, link)
            assert not parts.fragment or there.suffix != ".html" or unquote(parts.fragment) in pages[there].parts, link


def test_studies_and_agents_are_in_it_with_their_figures(site, pages):
    for name in STUDIES:
        page = pages[site / f"experiments/{name}/index.html"]
        text = (ROOT / f"experiments/{name}/README.md").read_text()
        assert set(re.findall(r"!\[.*?\]\((.*?)\)", text)) <= set(page.loads)
    for card in AGENTS.glob("*.md"):
        assert site / f"drc_lab/agents/{card.stem}.html" in pages
    listed = pages[site / "index.html"].leads
    assert {f"experiments/{name}/index.html" for name in STUDIES} <= set(listed)


def test_links_to_code_lead_to_its_api_page_or_its_text(site, pages):
    assert "api/learning.html#drc_lab.learning.losses.base" in pages[site / "algorithms.html"].leads
    assert "conf/experiment/hpo_small.yaml" in pages[site / "scaling.html"].leads
    assert (site / "conf/experiment/hpo_small.yaml").read_text() == (CONF / "experiment/hpo_small.yaml").read_text()


def test_the_picture_of_the_packages_is_that_of_the_imports():
    """Renewed by ``python tools/architecture.py``."""
    assert (ROOT / "docs/architecture.svg").read_text() == load_tool("architecture").picture()


def test_every_package_has_its_paragraph():
    text = (ROOT / "docs/architecture.md").read_text()
    assert set(re.findall(r"^\*\*(\w+)\*\*", text, re.MULTILINE)) == load_tool("architecture").imports().keys()


def test_every_term_has_a_key_a_name_or_a_metric():
    terms = GLOSSARY.split("\n### ")[1:]
    assert len(terms) >= 19 and all("`" in term for term in terms)


def test_the_keys_of_the_glossary_exist():
    keys = set(re.findall(r"`((?:algo|env|policy|probe|thinking|evaluation)\.[\w.]+)`", GLOSSARY)) - {"thinking.csv"}
    with initialize_config_dir(str(CONF), version_base=None):
        config = compose("config")
    missing = object()
    known = {
        key for key in keys if OmegaConf.select(config, key, default=missing, throw_on_missing=False) is not missing
    }
    assert len(keys) > 15 and known == keys, keys - known


def test_the_names_of_the_glossary_exist():
    code = "\n".join(path.read_text() for path in ROOT.glob("drc_lab/**/*.py"))
    classes = set(re.findall(r"`([A-Z]\w+)(?:\.\w+)?`", GLOSSARY))
    names = set(re.findall(r"`(?:[A-Z]\w+\.)?([a-z_]+)`", GLOSSARY))
    assert len(classes) > 8 and all(re.search(rf"^class {name}\b", code, re.MULTILINE) for name in classes)
    assert all(re.search(rf"\b{name}\b", code) for name in names)


def test_the_metrics_of_the_glossary_are_explained():
    metrics = set(re.findall(r"`((?:train|valid|best|final|probe)/\w+)`", GLOSSARY))
    explained = (ROOT / "docs/metrics.md").read_text()
    assert len(metrics) > 6 and all(f"`{metric}`" in explained for metric in metrics)

"""The hook of mkdocs.yml: what lies outside of docs/ becomes part of the site, and links work as in the repository.

Studies and agents come with no copy of their text. A link to a module goes to its API page, one to a folder to its
README or to the page that stands for it, one to any other file to that file, which the site then has.
"""

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = "docs/"
LINK = re.compile(r"(?<=\]\()([^)#\s]+)(#[^)\s]*)?(?=\))")
STUDIES, AGENTS = "experiments/README.md", "drc_lab/agents"


def outside() -> list[str]:
    """The pages that lie elsewhere, in the order in which they are listed."""
    studies = re.findall(r"^\| \[\w+\]\((\w+)\)", (ROOT / STUDIES).read_text(), re.MULTILINE)
    folders = sorted(path.parent.name for path in ROOT.glob("experiments/*/README.md"))
    if sorted(studies) != folders:
        raise SystemExit(f"{STUDIES} lists {', '.join(sorted(studies))}, and there are {', '.join(folders)}")
    cards = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / AGENTS).glob("*.md"))
    first = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", STUDIES]
    return [*first, *(f"experiments/{name}/README.md" for name in studies), *cards]


def inside() -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / DOCS).rglob("*.md"))


def documented() -> dict[str, str]:
    """The API page of each module that has one."""
    pages = [path for path in inside() if path.startswith(f"{DOCS}api/")]
    return {
        module: path for path in pages for module in re.findall(r"^::: (\S+)", (ROOT / path).read_text(), re.MULTILINE)
    }


def target(origin: str, link: str) -> tuple[str, str] | None:
    """Where a link of a page leads: a path in the repository, and a part of that page.

    None: to no file of the repository.
    """
    path = os.path.normpath(os.path.join(os.path.dirname(origin), link))
    if "://" in link or path.startswith("..") or not (ROOT / path).exists():
        return None
    module, api = path.removesuffix(".py").replace("/", "."), documented()
    if module in api:
        return api[module], f"#{module}"
    if (ROOT / path).is_file():
        return path, ""
    stands_for_it = [
        *([f"{path}/README.md"] if f"{path}/README.md" in outside() else []),
        *sorted(page for name, page in api.items() if name.startswith(f"{module}.")),
        *(page for page in outside() if page.startswith(f"{path}/")),
        *([f"{DOCS}config.md"] if path.split("/")[0] == "conf" else []),
    ]
    return (stands_for_it[0], "") if stands_for_it else None


def on_config(config: MkDocsConfig) -> None:
    pages = outside()
    studies = [page for page in pages if page.startswith("experiments/") and page != STUDIES]
    agents = [page for page in pages if page.startswith(AGENTS)]
    config.nav += [
        {"Studies": [{"All": STUDIES}, *({page.split("/")[1]: page} for page in studies)]},
        {"Agents": [{Path(page).stem: page} for page in agents]},
    ]


def on_files(files: Files, config: MkDocsConfig) -> None:
    here = inside()
    linked = {
        found[0]
        for page in [*here, *outside()]
        for link in LINK.finditer((ROOT / page).read_text())
        if (found := target(page, link[1]))
    }
    for path in [*outside(), *sorted(linked - {*here, *outside()})]:
        if not path.startswith(DOCS):
            files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    uri = page.file.src_uri
    origin = uri if uri in outside() else DOCS + uri
    folder = os.path.dirname(uri)

    def in_the_site(link: re.Match[str]) -> str:
        found = target(origin, link[1])
        if found is None:
            return link[0]
        path, part = found
        return os.path.relpath(path.removeprefix(DOCS), folder or ".") + (link[2] or part)

    return LINK.sub(in_the_site, markdown)

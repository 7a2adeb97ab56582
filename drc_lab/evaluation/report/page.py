"""The report as one self-contained HTML file: pictures are embedded, and nothing is loaded from a network."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from drc_lab.errors import printable_lines
from drc_lab.evaluation.kinds.registry import kind_named
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.table import Row
from drc_lab.evaluation.report.about import About
from drc_lab.evaluation.report.figures import as_svg, panels_as_svg
from drc_lab.evaluation.report.summary import answer, by_length, by_policy, summarise
from drc_lab.evaluation.report.words import (
    amount,
    cell,
    described,
    gain,
    is_number,
    mean,
    p_value,
    player,
    score,
)

TYPES = {".gif": "image/gif", ".mp4": "video/mp4", ".png": "image/png"}
LARGEST_VIDEO = 8 * 2**20  # bytes; a larger video is not embedded in the page
SHORT_TABLE = 12  # rows; longer tables are folded
LISTED = 8  # settings named as solving a failure, at most


def write_page(path: Path, title: str, rows: Sequence[Row], findings: Sequence[Finding], about: About) -> None:
    """Writes the page of a thinking sweep or an evaluation; see `write_report`."""
    summaries = summarise(rows, about.confidence)
    page = (
        _templates()
        .get_template("page.html")
        .render(
            title=title,
            about=about,
            answer=answer(summaries),
            summaries=summaries,
            criterion=rows[0].criterion,
            policies=[_Tables(of_policy) for of_policy in by_policy(rows)],
            plots=panels_as_svg(rows),
            findings=[_Section(finding) for finding in findings],
            video=_video(about.video),
        )
    )
    path.write_text(page, encoding="utf-8")


def write_findings_page(
    path: Path, title: str, sentences: Sequence[str], findings: Sequence[Finding], about: About
) -> None:
    """Writes a page without the table of settings: an answer in sentences, and the findings."""
    sections = [_Section(finding) for finding in findings]
    page = (
        _templates()
        .get_template("base.html")
        .render(title=title, about=about, answer=sentences, findings=sections, video=_video(about.video))
    )
    path.write_text(page, encoding="utf-8")


def _shown(value: Any) -> Any:
    """What a page shows of a value: marks in names that turn the direction of writing, say, are shown, not obeyed."""
    return printable_lines(value) if type(value) is str else value


def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("drc_lab.evaluation.report", ""),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cell": cell, "kind": lambda kind: kind_named(kind).words.short}
    words = (amount, data_uri, gain, p_value, player, score, solvers)
    environment.globals |= {word.__name__: word for word in words}
    return environment


class _Section:
    """What the page shows of a finding. Its table is folded if it is long or comes with a picture."""

    def __init__(self, finding: Finding):
        self.name, self.title, self.text, self.table = finding.name, finding.title, finding.text, finding.table
        self.picture = as_svg(finding.draw, finding.title) if finding.draw else None
        self.numeric = [is_number(column) for _, column in finding.table.items()]
        self.folded = len(finding.table) > (SHORT_TABLE if self.picture is None else 0)


class _Tables:
    """What the page's tables need from one policy's rows."""

    def __init__(self, rows: Sequence[Row]):
        self.overall = [row for row in rows if row.optimal == "all"]
        self.name = self.overall[0].checkpoint
        self.levels = by_length(rows)
        self.rates = {(row.kind, row.amount, row.optimal): mean(row) for row in rows}
        self.thinking = any(row.is_thinking for row in self.overall)
        self.begins = [bool(i) and row.kind != self.overall[i - 1].kind for i, row in enumerate(self.overall)]


def data_uri(content: bytes, suffix: str = ".png") -> str:
    """A data URI with a file's content, to embed it in the page."""
    return f"data:{TYPES[suffix]};base64,{base64.b64encode(content).decode()}"


def _video(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    fits = path.stat().st_size <= LARGEST_VIDEO
    return {
        "name": path.name,
        "film": path.suffix == ".mp4",
        "uri": data_uri(path.read_bytes(), path.suffix) if fits else None,
    }


def solvers(settings: Sequence[tuple[str, float]]) -> str:
    """A phrase naming the settings that solve a failure."""
    if not settings:
        return "no setting solves it"
    more = f", and {len(settings) - LISTED} more" if len(settings) > LISTED else ""
    return "solved with " + "; ".join(described(kind, size) for kind, size in settings[:LISTED]) + more

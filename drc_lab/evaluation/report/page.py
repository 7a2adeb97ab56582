"""The report as one HTML file that needs nothing but a browser: pictures are in it, and it asks no server."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from drc_lab.evaluation.finding import Finding
from drc_lab.evaluation.report.about import About
from drc_lab.evaluation.report.plots import finding_png
from drc_lab.evaluation.report.summary import answer, by_policy, summarise
from drc_lab.evaluation.report.words import amount, cell, described, gain, kind_words, p_value, solved
from drc_lab.evaluation.table import Row

TYPES = {".gif": "image/gif", ".mp4": "video/mp4", ".png": "image/png"}
LARGEST_VIDEO = 8 * 2**20  # bytes; a larger one is a file beside the page only
LISTED = 8  # settings that solve a failure, at most


def write_page(
    path: Path, title: str, rows: Sequence[Row], findings: Sequence[Finding], about: About, picture: Path
) -> None:
    """Writes it; see `write_report`. picture: the plot, a PNG."""
    environment = Environment(loader=PackageLoader("drc_lab.evaluation.report", ""), autoescape=True,
                              undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    environment.filters |= {"cell": cell, "kind": lambda kind: kind_words(kind).short}
    environment.globals |= {
        "amount": amount,
        "solved": solved,
        "gain": gain,
        "p_value": p_value,
        "solvers": _solvers,
        "data_uri": data_uri,
    }
    summaries = summarise(rows, about.confidence)
    page = environment.get_template("page.html").render(
        title=title,
        about=about,
        answer=answer(summaries),
        summaries=summaries,
        policies=[_Tables(own) for own in by_policy(rows)],
        plot=data_uri(picture.read_bytes(), ".png"),
        findings=[(finding, _picture(finding), _numeric(finding)) for finding in findings],
        video=_video(about.video),
    )
    path.write_text(page, encoding="utf-8")


class _Tables:
    """What the page's tables need of one policy's rows."""

    def __init__(self, rows: Sequence[Row]):
        self.overall = [row for row in rows if row.optimal == "all"]
        self.name = self.overall[0].checkpoint
        self.levels = {row.optimal: row.levels for row in rows if row.optimal != "all"}
        self.rates = {(row.kind, row.amount, row.optimal): row.solve_rate for row in rows}
        self.begins = [bool(i) and row.kind != self.overall[i - 1].kind for i, row in enumerate(self.overall)]


def data_uri(content: bytes, suffix: str = ".png") -> str:
    """A file's content in the place of its address."""
    return f"data:{TYPES[suffix]};base64,{base64.b64encode(content).decode()}"


def _picture(finding: Finding) -> str | None:
    return None if finding.draw is None else data_uri(finding_png(finding.draw))


def _numeric(finding: Finding) -> list[bool]:
    return [pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
            for _, column in finding.table.items()]  # fmt: skip


def _video(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    fits = path.stat().st_size <= LARGEST_VIDEO
    return {"name": path.name, "film": path.suffix == ".mp4",
            "uri": data_uri(path.read_bytes(), path.suffix) if fits else None}  # fmt: skip


def _solvers(settings: Sequence[tuple[str, float]]) -> str:
    """Which settings solve a failure, in words."""
    if not settings:
        return "no setting solves it"
    more = f", and {len(settings) - LISTED} more" if len(settings) > LISTED else ""
    return "solved with " + "; ".join(described(kind, size) for kind, size in settings[:LISTED]) + more

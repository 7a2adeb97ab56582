"""Writes all files of a report in one call."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.table import Row
from drc_lab.evaluation.report.about import About
from drc_lab.evaluation.report.figures import draw_finding, plot
from drc_lab.evaluation.report.page import write_findings_page, write_page
from drc_lab.evaluation.report.tables import FINDINGS, TABLE, write_csv, write_finding
from drc_lab.files import written
from drc_lab.progress import working

PAGE = "report.html"
Write = Callable[[Path], None]


def write_report(
    folder: Path, title: str, rows: Sequence[Row], findings: Sequence[Finding], records: pd.DataFrame, about: About
) -> list[Path]:
    """Writes levels.parquet, findings/NAME.csv and .png, thinking.png, report.html and thinking.csv, each atomically.

    Args:
        folder: for all files.
        title: of the page: the question that was asked.
        rows, records: see `drc_lab.evaluation.measures.table.table`.
        findings: further results.
        about: what the page shows besides results.

    Returns:
        the paths of the files. thinking.csv is written last: if it exists, the report is complete.
    """
    return _written(
        {
            folder / "levels.parquet": lambda part: records.to_parquet(part, index=False),
            **_writers(folder, findings),
            folder / "thinking.png": partial(plot, rows),
            folder / PAGE: lambda part: write_page(part, title, rows, findings, about),
            folder / TABLE: partial(write_csv, rows),
        }
    )


def write_findings(
    folder: Path, title: str, sentences: Sequence[str], findings: Sequence[Finding], about: About
) -> list[Path]:
    """Writes findings/NAME.csv and .png, and report.html, which begins with ``sentences``; see `write_report`."""
    return _written(
        {
            **_writers(folder, findings),
            folder / PAGE: lambda part: write_findings_page(part, title, sentences, findings, about),
        }
    )


def _writers(folder: Path, findings: Sequence[Finding]) -> dict[Path, Write]:
    drawn = {folder / FINDINGS / f"{finding.name}.png": finding.draw for finding in findings if finding.draw}
    return {
        **{folder / FINDINGS / f"{finding.name}.csv": partial(write_finding, finding) for finding in findings},
        **{path: partial(draw_finding, draw) for path, draw in drawn.items()},
    }


def _written(writers: dict[Path, Write]) -> list[Path]:
    with working("writing the report", len(writers)) as advance:
        for path, write in writers.items():
            with written(path) as part:
                write(part)
            advance(1)
    return list(writers)

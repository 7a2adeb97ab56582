"""Results as tables: in the terminal, and as CSV."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from drc_lab.evaluation.finding import Finding
from drc_lab.evaluation.report.words import amount, cell, gain, kind_words, solved
from drc_lab.evaluation.table import Row

DIGITS = 6  # significant ones in a CSV: small p-values keep theirs


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """One line for each setting and optimal length; the columns are the fields of `Row`."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(
            {k: f"{v:.{DIGITS}g}" if isinstance(v, float) else v for k, v in asdict(row).items()} for row in rows
        )


def write_finding(finding: Finding, path: Path) -> None:
    """Its table as CSV; a missing value is an empty cell."""
    finding.table.to_csv(path, index=False, float_format=f"%.{DIGITS}g")


def terminal_tables(rows: Sequence[Row], confidence: float) -> list[Table]:
    """Two rich tables of at most 80 columns: all levels with intervals, and solve rates by optimal length."""
    overall = [row for row in rows if row.optimal == "all"]
    gains = _table(f"Does more thinking help? {overall[0].levels:,} held-out levels, greedy, in %"
                   if len(overall) > 1 else f"{overall[0].levels:,} held-out levels, greedy, in %")  # fmt: skip
    titles = ("thinking", "amount", f"solved [{confidence:.0%}]", "gain [paired]", "steps")
    for title in titles:
        gains.add_column(title, justify="left" if title == "thinking" else "right", no_wrap=True)
    names = list(dict.fromkeys(row.optimal for row in rows if row.optimal != "all"))
    lengths = _table("Solved in %, by moves of an optimal solution")
    for title in ("thinking", "amount", *names):
        lengths.add_column(title, justify="left" if title == "thinking" else "right", no_wrap=True)
    for row, following in zip(overall, [*overall[1:], None], strict=True):
        by_length = {r.optimal: r for r in rows if (r.kind, r.amount) == (row.kind, row.amount)}
        last = following is None or following.kind != row.kind
        first = [kind_words(row.kind).short, amount(row)]
        gains.add_row(*first, solved(row), gain(row), f"{row.mean_length:.1f}", end_section=last)
        cells = [f"{100 * by_length[name].solve_rate:.0f}" if name in by_length else "" for name in names]
        lengths.add_row(*first, *cells, end_section=last)
    counts = {row.optimal: f"{row.levels:,}" for row in rows}
    lengths.add_row("levels", "", *(counts[name] for name in names))
    return [gains, lengths] if names else [gains]


def finding_tables(findings: Sequence[Finding]) -> list[RenderableType]:
    """Those findings that are for the terminal: each a table with the words on how to read it."""
    return [_finding_table(finding) for finding in findings if finding.in_terminal]


def _finding_table(finding: Finding) -> RenderableType:
    table = _table(finding.title)
    for name, column in finding.table.items():
        number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
        table.add_column(Text(str(name)), justify="right" if number else "left")
    for values in finding.table.itertuples(index=False, name=None):
        table.add_row(*(Text(cell(value)) for value in values))
    return Group(table, Text(finding.text, style="dim"), Text())


def _table(title: str) -> Table:
    return Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)

"""Results as tables: in the terminal, and as CSV."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from drc_lab.evaluation.finding import Finding
from drc_lab.evaluation.report.summary import by_length, by_policy
from drc_lab.evaluation.report.words import amount, cell, gain, is_number, mean, p_value, player, score
from drc_lab.evaluation.table import Row

FINDINGS = "findings"  # the folder of their CSV files
WIDEST = 1000  # columns; so many, if there were as many, may a table take
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
    """Two tables of at most 80 columns for each policy: all levels with intervals, and by optimal length."""
    return [each for own in by_policy(rows) for each in _tables_of_one(own, confidence)]


def _tables_of_one(rows: Sequence[Row], confidence: float) -> list[Table]:
    overall = [row for row in rows if row.optimal == "all"]
    whose = f"{overall[0].checkpoint}: " if overall[0].checkpoint else ""
    thinking = any(row.is_thinking for row in overall)
    question, measure = "Does more thinking help? " if thinking else "", overall[0].measure
    gains = _table(f"{whose}{question}{overall[0].levels:,} held-out levels, greedy{', in %' * measure.is_rate}")
    who = ("thinking", "amount") if thinking else ("policy",)
    paired = ("gain [paired]", "p") if thinking else ("difference [paired]",)
    for title in (*who, f"{measure.column} [{confidence:.0%}]", *paired, "steps"):
        gains.add_column(title, justify="left" if title == who[0] else "right", no_wrap=True)
    names = by_length(rows)
    lengths = _table(f"{whose}{'Solved in %' if measure.is_rate else 'Return'}, by optimal length")
    for title in (*who, *names):
        lengths.add_column(title, justify="left" if title == who[0] else "right", no_wrap=True)
    rates = {(row.kind, row.amount, row.optimal): mean(row) for row in rows}
    for row, following in zip(overall, [*overall[1:], None], strict=True):
        last = following is not None and following.kind != row.kind and not (row.is_control and following.is_control)
        first = (Text(player(row, thinking)), amount(row))[: len(who)]
        gains.add_row(
            *first, score(row), *(gain(row), p_value(row))[: len(paired)], f"{row.mean_length:.1f}", end_section=last
        )
        lengths.add_row(*first, *(rates[row.kind, row.amount, name] for name in names), end_section=last)
    lengths.add_section()
    lengths.add_row(*("levels", "")[: len(who)], *(f"{count:,}" for count in names.values()))
    return [gains, lengths] if names else [gains]


def finding_tables(findings: Sequence[Finding]) -> list[RenderableType]:
    """Those findings that are for the terminal: each a table with the words on how to read it."""
    return [_InTerminal(finding) for finding in findings if finding.in_terminal]


class _InTerminal:
    """A finding's title, table and words; a table that is wider than the terminal is left to its CSV file."""

    def __init__(self, finding: Finding):
        self.finding = finding

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        finding = self.finding
        table = _table(finding.title)
        for name, column in finding.table.items():
            table.add_column(Text(str(name)), justify="right" if is_number(column) else "left", no_wrap=True)
        for values in finding.table.itertuples(index=False, name=None):
            table.add_row(*(Text(cell(value)) for value in values))
        if console.measure(table, options=options.update(width=WIDEST)).maximum <= options.max_width:
            yield table
        else:
            yield Text(f"{finding.title}\n", style="bold")
            yield Text(f"The table is wider than this terminal: see {FINDINGS}/{finding.name}.csv")
        yield Text(f"{finding.text}\n", style="dim")


def _table(title: str) -> Table:
    return Table(title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, show_edge=False,
                 padding=(0, 1, 0, 0), pad_edge=False)  # fmt: skip

"""Results as tables in the terminal and as CSV files."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from rich.console import RenderableType

from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.table import Row
from drc_lab.evaluation.report.summary import by_length, by_policy
from drc_lab.evaluation.report.words import amount, cell, gain, is_number, mean, p_value, player, score
from drc_lab.tables import Column, FittedTable, table_of

TABLE = "thinking.csv"
FINDINGS = "findings"  # the folder of their CSV files
DIGITS = 6  # significant digits in a CSV, so that small p-values are not rounded to 0


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Writes a line for each setting and optimal length; the columns are the fields of `Row`."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(
            {k: f"{v:.{DIGITS}g}" if isinstance(v, float) else v for k, v in asdict(row).items()} for row in rows
        )


def write_finding(finding: Finding, path: Path) -> None:
    """Writes a finding's table as CSV; missing values are empty cells."""
    finding.table.to_csv(path, index=False, float_format=f"%.{DIGITS}g")


def terminal_tables(rows: Sequence[Row], confidence: float) -> list[FittedTable]:
    """Two tables for each policy: over all levels with intervals, and by optimal length (if any is known)."""
    return [each for of_policy in by_policy(rows) for each in _tables_of_one(of_policy, confidence)]


def _tables_of_one(rows: Sequence[Row], confidence: float) -> list[FittedTable]:
    overall = [row for row in rows if row.optimal == "all"]
    whose = f"{overall[0].checkpoint}: " if overall[0].checkpoint else ""
    thinking = any(row.is_thinking for row in overall)
    question, criterion = "Does more thinking help? " if thinking else "", overall[0].criterion
    who = [
        Column(title, title != "amount", name=True) for title in (("thinking", "amount") if thinking else ("policy",))
    ]
    paired = [Column("gain [paired]"), Column("p", rank=1)] if thinking else [Column("difference [paired]")]
    title = f"{whose}{question}{overall[0].levels:,} held-out levels, greedy{', in %' * criterion.is_rate}"
    columns = [*who, Column(f"{criterion.column} [{confidence:.0%}]"), *paired, Column("steps", rank=2)]
    gains = FittedTable(title, columns, TABLE)
    names = by_length(rows)
    title = f"{whose}{'Solved in %' if criterion.is_rate else 'Return'}, by optimal length"
    lengths = FittedTable(title, [*who, *(Column(name) for name in names)])
    rates = {(row.kind, row.amount, row.optimal): mean(row) for row in rows}
    for row, following in zip(overall, [*overall[1:], None], strict=True):
        last = following is None or (following.kind != row.kind and not (row.is_control and following.is_control))
        first = (player(row, thinking), amount(row))[: len(who)]
        numbers = (score(row), *(gain(row), p_value(row))[: len(paired)], f"{row.mean_length:.1f}")
        gains.add(*first, *numbers, last=last)
        lengths.add(*first, *(rates[row.kind, row.amount, name] for name in names), last=last)
    lengths.add(*("levels", "")[: len(who)], *(f"{count:,}" for count in names.values()))
    return [gains, lengths] if names else [gains]


def finding_tables(findings: Sequence[Finding]) -> list[RenderableType]:
    """The findings that the terminal shows, each as a table with its explanation."""
    tables: list[RenderableType] = []
    for finding in findings:
        if finding.in_terminal:
            words = [not is_number(column) for _, column in finding.table.items()]
            rows = [[cell(value) for value in values] for values in finding.table.itertuples(index=False, name=None)]
            file, titles = f"{FINDINGS}/{finding.name}.csv", [str(name) for name in finding.table]
            tables.append(table_of(finding.title, titles, rows, file, f"{finding.text}\n", words))
    return tables

"""What the speed tasks share: timing in turns, and a table that is printed and written as CSV."""

import csv
import statistics
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from rich.table import Table

from drc_lab.progress import console, tracked

Name = TypeVar("Name", bound=Hashable)
Run = Callable[[], int]  # does some steps, returns how many


def timed(runs: dict[Name, Run], timings: int) -> dict[Name, float]:
    """Median steps per second of each run, taken in turns so that a busy moment of the machine falls on all of them."""
    speeds: dict[Name, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # compiles
    for _ in tracked(range(timings), "timing"):
        for name, run in runs.items():
            started = perf_counter()
            steps = run()
            speeds[name].append(steps / (perf_counter() - started))
    return {name: statistics.median(each) for name, each in speeds.items()}


def rounded(value: float) -> float:
    """Three significant digits: more is noise."""
    return float(f"{value:.3g}")


def report(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], path: Path, caption: str = "") -> None:
    """Prints a table, all but its first column to the right, and writes the same as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    table = Table(title=title, caption=caption or None)
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    console.print(table)

"""What the speed tasks share: interleaved timing, and a table that is printed and written as CSV."""

import csv
import statistics
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from drc_lab.files import written
from drc_lab.progress import console, tracked
from drc_lab.tables import table_of

Name = TypeVar("Name", bound=Hashable)
Run = Callable[[], int]  # does some steps and returns how many


def timed(runs: dict[Name, Run], timings: int) -> dict[Name, float]:
    """Returns the median steps per second of each run. Runs are timed in turns, so that a busy moment of the machine
    affects all of them."""
    speeds: dict[Name, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # warm-up, which also compiles
    for _ in tracked(range(timings), "timing"):
        for name, run in runs.items():
            started = perf_counter()
            steps = run()
            speeds[name].append(steps / (perf_counter() - started))
    return {name: statistics.median(each) for name, each in speeds.items()}


def rounded(value: float) -> float:
    """Rounds to three significant digits, as more would be noise."""
    return float(f"{value:.3g}")


def report(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], path: Path, caption: str = "") -> None:
    """Prints a table, see `table_of`, and writes the same as CSV."""
    with written(path) as part, part.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    console.print(table_of(title, columns, cells, path.name, caption), "")

"""The thinking sweep as CSV, picture and terminal table."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.table import Table

from drc_lab.evaluation.controls import CONTROLS
from drc_lab.evaluation.table import Row
from drc_lab.evaluation.thinking import FIRST_PASSES, REPEATS

RANDOM = "random"
SHORT = {FIRST_PASSES: "first passes", REPEATS: "ticks", RANDOM: "random policy"}
TITLES = {FIRST_PASSES: "extra passes on the first observation", REPEATS: "ticks at every step"}


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """One line for each setting and optimal length; the columns are the fields of `Row`."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(
            {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(row).items()} for row in rows
        )


def plot(rows: Sequence[Row], path: Path) -> None:
    """Solve rate against both kinds of thinking, with intervals and the random policy; right: by optimal length."""
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3, width_ratios=[1, 1, 1.2])
    overall = [row for row in rows if row.optimal == "all"]
    chance = next((row.solve_rate for row in overall if row.kind == RANDOM), None)
    for axis, kind in zip(panels, (FIRST_PASSES, REPEATS), strict=False):
        line = [row for row in overall if row.kind == kind]
        rate = [row.solve_rate for row in line]
        spread = [[r.solve_rate - r.low for r in line], [r.high - r.solve_rate for r in line]]
        axis.errorbar([row.amount for row in line], rate, yerr=spread, marker="o", capsize=3, label="DRC, greedy")
        if chance is not None:
            axis.axhline(chance, color="gray", linestyle="--", label="random policy")
        axis.set(xlabel=TITLES[kind], ylabel="solve rate on held-out levels", ylim=(0, 1))
        axis.legend(loc="lower right")
    shown = [row for row in rows if row.kind == FIRST_PASSES and row.optimal != "all"]
    for amount in sorted({row.amount for row in shown}):
        line = [row for row in shown if row.amount == amount]
        panels[2].plot([row.optimal for row in line], [row.solve_rate for row in line], marker=".", label=f"{amount:g}")
    panels[2].set(xlabel="moves of an optimal solution", ylabel="solve rate", ylim=(0, 1))
    panels[2].legend(title="extra passes", fontsize="small")
    figure.savefig(path, dpi=120)


def terminal_tables(rows: Sequence[Row], confidence: float) -> list[Table]:
    """Two rich tables: all levels with intervals, and solve rates by optimal length."""
    percent, overall = f"{confidence:.0%}", [row for row in rows if row.optimal == "all"]
    gains = Table(title=f"Does more thinking help? {overall[0].levels} held-out levels, greedy, in %")
    for title in ("thinking", "amount", f"solved [{percent}]", f"gain [{percent}, paired]", "steps"):
        gains.add_column(title, justify="left" if title == "thinking" else "right", no_wrap=True)
    names = list(dict.fromkeys(row.optimal for row in rows if row.optimal != "all"))
    lengths = Table(title="The same, by moves of an optimal solution", caption="last row: levels")
    for title in ("thinking", "amount", *names):
        lengths.add_column(title, justify="left" if title == "thinking" else "right", no_wrap=True)
    for row, following in zip(overall, [*overall[1:], None], strict=True):
        by_length = {r.optimal: r for r in rows if (r.kind, r.amount) == (row.kind, row.amount)}
        amount = "-" if row.kind in CONTROLS else f"{row.amount:g}"
        last = following is None or following.kind != row.kind
        gain = f"{100 * row.difference:+.1f} [{100 * row.difference_low:+.1f}, {100 * row.difference_high:+.1f}]"
        solved = f"{100 * row.solve_rate:.1f} [{100 * row.low:.1f}, {100 * row.high:.1f}]"
        gains.add_row(SHORT.get(row.kind, row.kind), amount, solved, gain, f"{row.mean_length:.1f}", end_section=last)
        cells = [f"{100 * by_length[name].solve_rate:.0f}" if name in by_length else "" for name in names]
        lengths.add_row(SHORT.get(row.kind, row.kind), amount, *cells, end_section=last)
    counts = {row.optimal: str(row.levels) for row in rows}
    lengths.add_row("levels", "", *(counts[name] for name in names))
    return [gains, lengths]

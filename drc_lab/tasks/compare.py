"""task=compare: results of the runs of a study, as a table and as learning curves with intervals over seeds.

python -m drc_lab task=compare compare.study=NAME
"""

import csv
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np

from drc_lab.app.settings import Settings
from drc_lab.app.start import console
from drc_lab.app.store import reading
from drc_lab.arguments import errors_under
from drc_lab.evaluation.stats.curves import Group, MeanCurve, mean_curve, plot_groups
from drc_lab.files import written
from drc_lab.process import quieten_libraries
from drc_lab.progress import working
from drc_lab.tables import Column, FittedTable
from drc_lab.tracking.naming import shortest_end
from drc_lab.tracking.runs_table import MISSING, Comparison, compare, short_value
from drc_lab.tracking.spec import CompareSpec

RUNS = "runs.csv"
FEW = 24  # with more runs, columns of settings that do not fit are dropped
ID = 8  # characters of a run's id that are shown, to tell runs of the same name apart


def main(settings: Settings, folder: Path) -> None:
    """Prints the tables; writes runs.csv, curves.csv and curves.png."""
    quieten_libraries()
    spec = settings.compare
    with reading(settings.config) as client, working("reading runs and their curves"), errors_under("compare"):
        comparison = compare(client, spec)
    spec = replace(spec, metric=comparison.metric)  # null becomes the metric that was chosen
    runs, curves, plot = (folder / name for name in (RUNS, "curves.csv", "curves.png"))
    with written(runs) as part:
        write_runs(comparison, part)
    with written(curves) as part:
        write_curves(comparison.groups, spec.confidence, part)
    with written(plot) as part:
        plot_groups(comparison.groups, comparison.metric, spec.confidence, part)
    console.print(runs_table(comparison, comparison.metric), "", groups_table(comparison.groups, spec), "")
    for name, path in (("runs", runs), ("curves", curves), ("plot", plot)):
        console.print(f"{name:8}{path}", soft_wrap=True, highlight=False)


def runs_table(comparison: Comparison, metric: str) -> FittedTable:
    """Makes a table with a row for each run, sorted by group. Runs that are not counted in means are dim.

    Settings in which runs differ are always shown in a small study; in a large one only if there is room.
    """
    some_dropped = any(not run.counted for run in comparison.runs)
    caption = "dim: without the metric, or the same seed got further" if some_dropped else ""
    few = len(comparison.runs) <= FEW
    same_names = len({run.name for run in comparison.runs}) < len(comparison.runs)
    columns = [Column("run", words=True, name=True)]
    columns += [Column("run id", words=True, name=True)] if same_names else []
    columns += [Column(title) for title in ("highest", "last", "frames", "seed")]
    for number, key in enumerate(comparison.keys):
        title = "policy" if key == "policy._target_" else shortest_end(key, comparison.keys)
        columns.append(Column(title, words=True, rank=0 if few else 3 + number))
    columns += [Column("status", words=True, rank=1), Column("time", rank=2)]
    table = FittedTable(f"Runs, by {metric}", columns, RUNS, caption)
    for run in sorted(comparison.runs, key=lambda run: (run.values(comparison.keys), run.values(["seed"]))):
        frames, values = run.curve
        numbers = [f"{values.max():.3f}", f"{values[-1]:.3f}", f"{frames[-1]:,}"] if len(frames) else [MISSING] * 3
        settings = [
            short_value(key, value) for key, value in zip(comparison.keys, run.values(comparison.keys), strict=True)
        ]
        names = [run.name, run.run.info.run_id[:ID]] if same_names else [run.name]
        time = str(timedelta(seconds=round(run.seconds)))
        table.add(*names, *numbers, *run.values(["seed"]), *settings, run.run.info.status, time, dim=not run.counted)
    return table


def groups_table(groups: Sequence[Group], spec: CompareSpec) -> FittedTable:
    """Makes a table with a row for each group: the mean at the last frame that all of its curves reach, and the mean of
    their highest points."""
    columns = [Column("group", words=True, name=True)]
    columns += [Column(name) for name in ("seeds", "frames", f"{spec.metric} there", "highest")]
    table = FittedTable(f"Means over seeds [{spec.confidence:.0%} t interval]", columns)
    for group in groups:
        line = mean_curve(group.curves, spec.confidence)
        # The highest points, as curves of one point each, to average them in the same way.
        best = mean_curve([(np.zeros(1), np.array([values.max()])) for _, values in group.curves], spec.confidence)
        there = f"{line.frames[-1]:,.0f}" if len(line.frames) else MISSING
        table.add(group.label, str(len(group.curves)), there, _last_point(line), _last_point(best))
    return table


def _last_point(line: MeanCurve) -> str:
    if not len(line.frames):
        return MISSING
    interval = "" if np.isnan(line.low[-1]) else f" [{line.low[-1]:.3f}, {line.high[-1]:.3f}]"
    return f"{line.mean[-1]:.3f}{interval}"


def write_runs(comparison: Comparison, path: Path) -> None:
    """Writes a CSV with a line for each run."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["run_id", "name", *comparison.keys, "seed", "frames", "highest", "last", "status", "seconds", "counted"]
        )
        for run in comparison.runs:
            frames, values = run.curve
            numbers = [frames[-1], round(values.max(), 6), round(values[-1], 6)] if len(frames) else [""] * 3
            writer.writerow([run.run.info.run_id, run.name, *run.values([*comparison.keys, "seed"]), *numbers,
                             run.run.info.status, round(run.seconds), run.counted])  # fmt: skip


def write_curves(groups: Sequence[Group], confidence: float, path: Path) -> None:
    """Writes a CSV with a line for each point of each group's mean curve; intervals are empty for a single seed."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["group", "seeds", "frames", "mean", "low", "high"])
        for group in groups:
            line = mean_curve(group.curves, confidence)
            for frames, *numbers in zip(line.frames, line.mean, line.low, line.high, strict=True):
                shown = ["" if np.isnan(x) else round(float(x), 6) for x in numbers]
                writer.writerow([group.label, len(group.curves), round(float(frames)), *shown])

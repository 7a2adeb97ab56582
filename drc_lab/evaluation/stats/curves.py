"""Learning curves over seeds: their mean with a confidence interval, over the frames that all of them cover."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Real
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from drc_lab.evaluation.stats.intervals import mean_intervals

MOST_POINTS = 500  # of a mean curve; longer ones are resampled

Points = tuple[Real[np.ndarray, "N"], Real[np.ndarray, "N"]]  # frames (ascending) and values


@dataclass
class MeanCurve:
    """The mean over some curves; low and high are the interval of the mean, nan for a single curve."""

    frames: Float[np.ndarray, "N"]
    mean: Float[np.ndarray, "N"]
    low: Float[np.ndarray, "N"]
    high: Float[np.ndarray, "N"]


@dataclass
class Group:
    """Runs that differ only in the seed.

    Args:
        label: what distinguishes them from the other groups.
        curves: one for each seed.
    """

    label: str
    curves: list[Points] = field(default_factory=list)


def mean_curve(curves: Sequence[Points], confidence: float) -> MeanCurve:
    """The mean with Student's t interval over the curves, which are treated as independent samples.

    Curves with points at different frames are interpolated linearly, and only over the range of frames that all of
    them cover. If there is no such range, the result is empty.
    """
    first, last = max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves)
    frames = np.unique(np.concatenate([x[(x >= first) & (x <= last)] for x, _ in curves])).astype(float)  # (N,)
    if len(frames) > MOST_POINTS:
        frames = np.linspace(first, last, MOST_POINTS)
    values = np.stack([np.interp(frames, x, y) for x, y in curves])  # (n, N)
    low, high = mean_intervals(values, confidence)
    return MeanCurve(frames, values.mean(axis=0), low, high)


def plot_groups(groups: Sequence[Group], metric: str, confidence: float, path: Path) -> None:
    """Plots each group's mean; groups of several seeds also get the interval as a band and each seed as a thin line."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for number, group in enumerate(groups):
        color, seeds = f"C{number % 10}", len(group.curves)
        line = mean_curve(group.curves, confidence)
        count = f"{seeds} seed{'s' * (seeds != 1)}"
        axis.plot(line.frames, line.mean, color=color, label=f"{group.label} ({count})")
        if seeds > 1:
            axis.fill_between(line.frames, line.low, line.high, color=color, alpha=0.2, linewidth=0)
            for x, y in group.curves:
                axis.plot(x, y, color=color, alpha=0.3, linewidth=0.7)
    axis.set(xlabel="env frames", ylabel=metric)
    if metric.endswith("solve_rate"):
        axis.set(ylim=(0, 1))  # a t interval can go beyond these limits
    axis.set_title(f"mean over seeds, {confidence:.0%} t interval", fontsize="small")
    axis.legend(fontsize="small")
    figure.savefig(path, dpi=120)

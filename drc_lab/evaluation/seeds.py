"""Several trainings of one kind on the same levels: what holds over seeds, and not only for one net.

One net's intervals are over levels, and say what more levels would show of that net. Over trainings the unit is the
seed: Student's t interval and test of the seeds' means (as in `drc_lab.evaluation.curves`), and beside them the
interquartile mean over seeds and groups of levels with its bootstrap interval, of Agarwal et al. (2021,
arXiv:2108.13264). There each task has runs of its own, and tasks are resampled apart. Here a net plays all groups of
levels, so a resample takes a seed with all its groups.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from drc_lab.evaluation.controls import CONTROLS
from drc_lab.evaluation.finding import Finding
from drc_lab.evaluation.intervals import RESAMPLES, Interval
from drc_lab.evaluation.records import SETTING, SUBJECT, baseline_of
from drc_lab.evaluation.significance import holm
from drc_lab.evaluation.table import groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRIMMED = 0.25  # off each end: the interquartile mean


class OverSeeds(NamedTuple):
    """A mean over seeds with its t interval and the p-value of its t test against 0, and an interquartile mean with its
    bootstrap interval; nan where the seeds have no spread to go by."""

    mean: float
    low: float
    high: float
    p_value: float
    iqm: float
    iqm_low: float
    iqm_high: float


def seed_findings(records: pd.DataFrame, confidence: float = 0.95) -> list[Finding]:
    """Solve rates and gains of each setting over several checkpoints.

    Args:
        records: with the columns that name a checkpoint, see `drc_lab.evaluation.records`; each has all settings on the
            same levels.
        confidence: of the intervals.
    """
    subjects = [own for _, own in records.groupby(SUBJECT, sort=False)]
    names = seed_names(records)
    baseline = np.stack([_by_group(baseline_of(own)) for own in subjects])  # (seeds, 1 + groups)
    solve_rate, gain = [], []
    for (kind, amount), _ in records.groupby(SETTING, sort=False):
        own = [subject[(subject["kind"] == kind) & (subject["amount"] == amount)] for subject in subjects]
        is_control, is_baseline = kind in CONTROLS, bool(own[0]["baseline"].iloc[0])
        setting = {"kind": kind, "amount": math.nan if is_control else amount}
        rates = np.stack([_by_group(one) for one in own])
        solve_rate.append(setting | dict(zip(names, rates[:, 0], strict=True)) | _columns(rates, confidence))
        del solve_rate[-1]["p_value"]  # nobody doubts that a solve rate is not 0
        if not is_baseline:
            gains = rates - baseline
            row = setting | dict(zip(names, gains[:, 0], strict=True)) | _columns(gains, confidence)
            gain.append(row | {"p_adjusted": math.nan if is_control else row["p_value"]})
    for row, adjusted in zip(gain, holm([row["p_adjusted"] for row in gain]), strict=True):
        row["p_adjusted"] = float(adjusted)
    number = len(subjects)
    text = (
        f"The unit is the seed: mean is over {number} trainings, low and high are Student's t interval ("
        f"{confidence:.0%}); iqm: interquartile mean over seeds and groups of levels of one optimal length, with a "
        "bootstrap interval over seeds, which is too narrow for fewer than about ten. "
    )
    tested = "p_value: t test against no gain; p_adjusted: by Holm over the settings of thinking, without controls."
    compared = pd.DataFrame(gain)
    return [
        Finding("seeds_solve_rate", "Solve rates over seeds", text, pd.DataFrame(solve_rate)),
        Finding("seeds_gain", "Does thinking help over seeds?", text + tested, compared,
                (lambda axis: _draw(axis, compared, names)) if gain else None),
    ]  # fmt: skip


def seed_names(records: pd.DataFrame) -> list[str]:
    """A short name for each checkpoint: its seed, or its number where seeds are not distinct."""
    seeds = [seed for (_, seed, _), _ in records.groupby(SUBJECT, sort=False)]
    if len(set(seeds)) == len(seeds):
        return [f"seed_{seed}" for seed in seeds]
    return [f"checkpoint_{number}" for number in range(len(seeds))]


def over_seeds(scores: np.ndarray, confidence: float = 0.95, seed: int = 0) -> OverSeeds:
    """Both means of scores; float [seeds, 1 + groups], the first column that over all levels."""
    overall, by_group = scores[:, 0], scores[:, 1:]
    mean, iqm, n = float(overall.mean()), float(stats.trim_mean(by_group, TRIMMED, axis=None)), len(scores)
    low, high, p_value = math.nan, math.nan, math.nan
    if n > 1 and np.ptp(overall) > 0:
        test = stats.ttest_1samp(overall, 0)
        (low, high), p_value = test.confidence_interval(confidence), float(test.pvalue)
    interval = Interval(math.nan, math.nan)
    if n > 1 and np.ptp(by_group, axis=0).any():
        interval = iqm_interval(by_group, confidence, seed)
    return OverSeeds(mean, float(low), float(high), p_value, iqm, *interval)


def iqm_interval(scores: np.ndarray, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Percentile-bootstrap interval over seeds of the interquartile mean of scores, float [seeds, groups]."""

    def statistic(chosen: np.ndarray, axis: int = -1) -> np.ndarray:
        picked = scores[chosen.astype(int)]  # (..., seeds, groups)
        return stats.trim_mean(picked.reshape(*chosen.shape[:-1], -1), TRIMMED, axis=-1)

    result = stats.bootstrap((np.arange(len(scores)),), statistic, vectorized=True, confidence_level=confidence,
                             n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(seed),
                             batch=200)  # fmt: skip
    return Interval(float(result.confidence_interval.low), float(result.confidence_interval.high))


def _by_group(played: pd.DataFrame) -> np.ndarray:
    """Solve rates of one setting on all levels and on each group of `groups`: float [1 + groups]."""
    solved, masks = played["solved"].to_numpy(float), groups(played["optimal"].to_numpy())
    return np.array([solved[mask].mean() for mask in masks.values()])


def _columns(scores: np.ndarray, confidence: float) -> dict[str, float]:
    return over_seeds(scores, confidence)._asdict()


def _draw(axis: "Axes", gains: pd.DataFrame, names: Sequence[str]) -> None:
    """A dot for each seed, and the mean with its interval."""
    for place, row in enumerate(gains.to_dict("records")):
        axis.plot([100 * row[name] for name in names], [place] * len(names), ".", color="C0", alpha=0.4)
        axis.plot([100 * row["low"], 100 * row["high"]], [place, place], color="C0")
        axis.plot(100 * row["mean"], place, "o", color="C0")
    axis.axvline(0, color="black", linewidth=0.7)
    ticks = [row.kind if math.isnan(row.amount) else f"{row.kind} {row.amount:g}" for row in gains.itertuples()]
    axis.set_yticks(range(len(gains)), ticks)
    axis.invert_yaxis()
    axis.set(xlabel="gain over the policy as it is, in points (small: each seed; bar: t interval of the mean)")

"""Findings over several trainings that differ in the seed: what holds for the method, and not only for one net.

The intervals of one net are over levels, and are about how that net does on more levels. Over trainings the unit is the
seed: Student's t interval and test of the seeds' means (as in `drc_lab.evaluation.stats.curves`), and the interquartile
mean over seeds and groups of levels with the bootstrap interval of Agarwal et al. (2021, arXiv:2108.13264). They
resample the runs of each task independently, since each task has its own runs. Here one net plays all groups of levels,
so the bootstrap resamples whole seeds with all their groups.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int64
from scipy import stats

from drc_lab.evaluation.kinds.registry import kind_named
from drc_lab.evaluation.measures.criterion import Criterion, criterion_of
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.table import groups
from drc_lab.evaluation.play.records import SETTING, SUBJECT, baseline_of
from drc_lab.evaluation.stats.intervals import UNKNOWN, Interval, bootstrap_interval, mean_interval
from drc_lab.evaluation.stats.significance import holm, verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRIMMED = 0.25  # share cut off at each end, for the interquartile mean
MOST_SHOWN = 6  # seeds, at most, that get a column each in the terminal


class OverSeeds(NamedTuple):
    """Means over seeds. Intervals and p-value are nan for a single seed, or if all seeds have the same scores.

    Attributes:
        mean: over seeds.
        low, high: its t interval.
        p: p-value of its t test against 0.
        iqm: interquartile mean over seeds and groups of levels.
        iqm_low, iqm_high: its bootstrap interval.
    """

    mean: float
    low: float
    high: float
    p: float
    iqm: float
    iqm_low: float
    iqm_high: float


def seed_findings(records: pd.DataFrame, confidence: float = 0.95) -> list[Finding]:
    """Means over several checkpoints of each setting's score and gain, then the interquartile means of both.

    Args:
        records: with the columns that identify a checkpoint, see `drc_lab.evaluation.play.records`; all checkpoints
            have the same settings on the same levels.
        confidence: of the intervals.
    """
    subjects = [subject for _, subject in records.groupby(SUBJECT, sort=False)]
    names, alpha, criterion = seed_names(records), 1 - confidence, criterion_of(records)
    baseline = np.stack([_by_group(baseline_of(subject), criterion) for subject in subjects])  # (seeds, 1 + groups)
    rates, gains, robust, single = [], [], [], []
    for (kind, amount), _ in records.groupby(SETTING, sort=False):
        played = [subject[(subject["kind"] == kind) & (subject["amount"] == amount)] for subject in subjects]
        setting = {"kind": kind, "amount": math.nan if kind_named(str(kind)).is_control else amount}
        scores, name = np.stack([_by_group(one, criterion) for one in played]), criterion.column
        rate, gain = over_seeds(scores, confidence), over_seeds(scores - baseline, confidence)
        rates.append(setting | {"mean": rate.mean, "low": rate.low, "high": rate.high} | _each(names, scores))
        robust.append(setting | {name: rate.iqm, f"{name}_low": rate.iqm_low, f"{name}_high": rate.iqm_high,
                                 "gain": gain.iqm, "gain_low": gain.iqm_low, "gain_high": gain.iqm_high})  # fmt: skip
        if not played[0]["baseline"].iloc[0]:
            gains.append(setting | {"mean": gain.mean, "low": gain.low, "high": gain.high, "p": gain.p})
            single.append(setting | _each(names, scores - baseline))
    adjusted = holm([row["p"] if kind_named(row["kind"]).adds_thinking else math.nan for row in gains])
    gains = [
        row | {"p_holm": float(p), "clear": verdict(row["mean"], p, confidence)}
        for row, p in zip(gains, adjusted, strict=True)
    ]
    unit, few = f"The unit is the seed: mean over {len(subjects)} trainings", len(names) <= MOST_SHOWN
    return [
        Finding(
            f"seeds_{criterion.metric}",
            f"{criterion.means.capitalize()} over seeds",
            f"{unit}, low and high its {confidence:.0%} t interval.",
            pd.DataFrame(rates),
        ),
        Finding(
            "seeds_gain",
            "Does thinking help over seeds?",
            f"{unit} of the gain over the same baseline policy, low and high its {confidence:.0%} t interval. p: t "
            f"test against no gain. p_holm: corrected for all settings but the controls; clear where at most "
            f"{alpha:.3g}. Empty where the seeds are alike and there is no spread to go by.",
            pd.DataFrame(gains),
            (lambda axis: _draw(axis, gains, single, names, criterion)) if gains else None,
        ),
        Finding(
            "seeds_single",
            "Gains of each seed",
            "Each training's gain over the same baseline policy.",
            pd.DataFrame(single),
            in_terminal=few,
        ),
        Finding(
            "seeds_iqm",
            "Interquartile means over seeds and groups of levels",
            "Over seeds and the levels of each optimal length, without the highest and the lowest quarter of the "
            f"scores; low and high: {confidence:.0%} bootstrap interval over seeds, which is too narrow for fewer "
            "than about ten.",
            pd.DataFrame(robust),
            in_terminal=False,
        ),
    ]


def _each(names: Sequence[str], scores: Float[np.ndarray, "S G1"]) -> dict[str, float]:
    """Each seed's score over all levels, by the seed's name."""
    return dict(zip(names, scores[:, 0].tolist(), strict=True))


def seed_names(records: pd.DataFrame) -> list[str]:
    """A short name for each checkpoint: its seed, or its index if seeds are not distinct."""
    seeds = [seed for (_, seed, _), _ in records.groupby(SUBJECT, sort=False)]
    if len(set(seeds)) == len(seeds):
        return [f"seed_{seed}" for seed in seeds]
    return [f"no_{number}" for number in range(len(seeds))]


def over_seeds(scores: Float[np.ndarray, "S G1"], confidence: float = 0.95, seed: int = 0) -> OverSeeds:
    """The mean and the interquartile mean over seeds, with intervals.

    Args:
        scores: of S seeds; the first column is over all levels, the others over groups of levels.
        confidence: of the intervals.
        seed: of the resampling.
    """
    overall, by_group = scores[:, 0], scores[:, 1:]
    mean, iqm, n = float(overall.mean()), float(stats.trim_mean(by_group, TRIMMED, axis=None)), len(scores)
    interval, p, iqm_ends = UNKNOWN, math.nan, UNKNOWN
    if n > 1 and np.ptp(overall) > 0:
        interval, p = mean_interval(overall, confidence), float(stats.ttest_1samp(overall, 0).pvalue)
    if n > 1 and np.ptp(by_group, axis=0).any():
        iqm_ends = iqm_interval(by_group, confidence, seed)
    return OverSeeds(mean, *interval, p, iqm, *iqm_ends)


def iqm_interval(scores: Float[np.ndarray, "S G"], confidence: float = 0.95, seed: int = 0) -> Interval:
    """Percentile-bootstrap interval over S seeds of the interquartile mean of scores of G groups of levels."""

    def statistic(chosen: Int64[np.ndarray, "*R S"], axis: int = -1) -> Float[np.ndarray, "*R"]:
        picked = scores[chosen.astype(int)]  # (..., seeds, groups)
        return stats.trim_mean(picked.reshape(*chosen.shape[:-1], -1), TRIMMED, axis=-1)

    return bootstrap_interval(statistic, np.arange(len(scores)), confidence=confidence, seed=seed)


def _by_group(played: pd.DataFrame, criterion: Criterion) -> Float[np.ndarray, "G1"]:
    """Means of one setting over all levels and over each group of `groups`."""
    scores, masks = played[criterion.column].to_numpy(float), groups(played["optimal"].to_numpy())
    return np.array([scores[mask].mean() for mask in masks.values()])


def _draw(
    axis: "Axes",
    gains: Sequence[Mapping[str, Any]],
    single: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    criterion: Criterion,
) -> None:
    """Draws each seed's gain as a dot, and the mean with its interval."""
    scale = criterion.scale
    thinking = [(row, each) for row, each in zip(gains, single, strict=True) if kind_named(row["kind"]).adds_thinking]
    for place, (row, each) in enumerate(thinking):
        axis.plot([scale * each[name] for name in names], [place] * len(names), ".", color="C0", alpha=0.4)
        axis.plot([scale * row["low"], scale * row["high"]], [place, place], color="C0")
        axis.plot(scale * row["mean"], place, "o", color="C0", markerfacecolor="C0" if row["clear"] else "white")
    axis.axvline(0, color="black", linewidth=0.7)
    labels = [f"{row['kind']} {row['amount']:g}" for row, _ in thinking]
    axis.set_yticks(range(len(thinking)), labels, fontsize="x-small")
    axis.invert_yaxis()
    axis.set(xlabel=f"gain, {criterion.unit}: each seed, and the mean with its t interval (filled: clear)")

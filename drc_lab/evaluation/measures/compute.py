"""Thinking at equal mean compute: does a varying amount beat fixed numbers of passes that cost as much?

Contains the findings on adaptive thinking, and functions shared with `drc_lab.evaluation.measures.learned`.
"""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from drc_lab.evaluation.kinds.adaptive import ADAPTIVE
from drc_lab.evaluation.kinds.first_passes import FIRST_PASSES
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.measure import SOLVED, Measure, measure_of
from drc_lab.evaluation.measures.table import groups
from drc_lab.evaluation.play.records import baseline_of, moves, ticks_a_pass
from drc_lab.evaluation.stats.intervals import UNKNOWN, Interval, bootstrap_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Played(NamedTuple):
    """What a setting did on each level.

    Attributes:
        score: float [N], 1 for solved and 0 for unsolved, or returns.
        thinking: float [N], ticks of extra passes and of thinks.
        ticks: float [N], ticks of all passes.
    """

    score: np.ndarray
    thinking: np.ndarray
    ticks: np.ndarray


class EqualCompute(NamedTuple):
    """An adaptive setting compared with a mixture of two fixed amounts that spends as many ticks on extra passes.

    All fields are nan if no two fixed amounts have the adaptive setting's mean cost between them.

    Attributes:
        fewer, more: the two fixed amounts.
        share: share of levels that the mixture plays with ``more``.
        fixed: the mixture's solve rate or mean return.
        gain: the adaptive setting's solve rate or mean return minus ``fixed``.
        interval: paired interval of ``gain``.
    """

    fewer: float
    more: float
    share: float
    fixed: float
    gain: float
    interval: Interval


def compute_findings(records: pd.DataFrame, confidence: float = 0.95) -> list[Finding]:
    """Two findings on the adaptive settings of one policy; [] if there are no such settings.

    Args:
        records: of one policy, see `drc_lab.evaluation.play.records`.
        confidence: of the intervals.
    """
    measure, optimal = measure_of(records), baseline_of(records)["optimal"].to_numpy()
    adaptive, fixed = (played_at(records, kind) for kind in (ADAPTIVE, FIRST_PASSES))
    if not adaptive:
        return []
    return [by_optimal(adaptive, optimal), equal_compute_finding(adaptive, fixed, confidence, measure)]


def played_at(records: pd.DataFrame, kind: str) -> dict[float, Played]:
    """Scores and costs of one kind of thinking, by amount; {} if the kind was not played.

    Ticks of thinking are the ticks beyond one pass for each move, where the ticks of a pass are those of the baseline
    policy.
    """
    per_pass, measure = ticks_a_pass(baseline_of(records)), measure_of(records)
    theirs = records[records["kind"] == kind]
    return {float(amount): _played(own, per_pass, measure) for amount, own in theirs.groupby("amount", sort=False)}


def by_optimal(adaptive: dict[float, Played], optimal: np.ndarray) -> Finding:
    """Mean ticks of extra passes by optimal length: a row for each threshold, a column for each length."""
    rows = []
    for threshold, own in adaptive.items():
        rows.append({"threshold": threshold, **spread(own.thinking, optimal), "all_ticks": own.ticks.mean()})
    text = (
        "Mean ticks of extra passes, and of its own thinks, before the policy agrees with itself, by moves of an "
        "optimal solution; threshold: KL divergence between successive ticks, in nats. rank_correlation: Spearman's, "
        "of ticks and optimal length; all_ticks: with those of the steps, of which a policy that fails takes more."
    )

    def draw(axis: "Axes") -> None:
        names = [name for name in groups(optimal) if name != "all"]
        for row in rows:
            axis.plot(names, [row[name] for name in names], marker="o", label=f"{row['threshold']:g} nats")
        axis.set(xlabel="moves of an optimal solution", ylabel="mean ticks of extra passes")
        axis.set_ylim(bottom=0)
        axis.legend()

    return Finding("adaptive_ticks", "Where does adaptive thinking think?", text, pd.DataFrame(rows), draw)


def spread(thinking: np.ndarray, optimal: np.ndarray) -> dict[str, float]:
    """Means of ``thinking`` [N] by ``optimal`` length [N], and Spearman's rank correlation of the two."""
    known, ranks = optimal >= 0, math.nan
    if known.any() and np.ptp(thinking[known]) > 0 and np.ptp(optimal[known]) > 0:
        ranks = float(stats.spearmanr(optimal[known], thinking[known]).statistic)
    means = {name: float(thinking[mask].mean()) for name, mask in groups(optimal).items()}
    return means | {"rank_correlation": ranks}


def equal_compute_finding(
    adaptive: dict[float, Played], fixed: dict[float, Played], confidence: float = 0.95, measure: Measure = SOLVED
) -> Finding:
    """Compares each adaptive setting with fixed numbers of first passes that cost as much."""
    rows = []
    for threshold, own in adaptive.items():
        beside = mixture(equal_compute(own, fixed, confidence))
        rows.append({"threshold": threshold, "ticks": own.thinking.mean(), measure.column: own.score.mean(), **beside})
    text = (
        f"{measure.column}, fixed: {measure.means}, of adaptive thinking and of a mixture of two neighbouring numbers "
        "of first passes (share: of levels with the larger) that spends as many ticks on extra passes; gain: the "
        f"difference on these levels, low and high its {confidence:.0%} paired bootstrap interval over levels. Empty "
        "where no two fixed numbers have that cost between them: nothing is extrapolated."
    )

    def draw(axis: "Axes") -> None:
        cost = [own.thinking.mean() for own in fixed.values()]
        axis.plot(cost, [own.score.mean() for own in fixed.values()], marker="o", label="fixed first passes")
        for row in rows:
            axis.plot(row["ticks"], row[measure.column], "s", label=f"adaptive, {row['threshold']:g} nats")
        axis.set(xlabel="mean ticks of extra passes", ylabel=measure.metric.replace("_", " "))
        axis.legend()

    return Finding("equal_compute", "Adaptive or fixed, at equal mean compute?", text, pd.DataFrame(rows), draw)


def equal_compute(
    adaptive: Played, fixed: dict[float, Played], confidence: float = 0.95, seed: int = 0
) -> EqualCompute:
    """The gain of an adaptive setting at equal mean compute, with its paired percentile-bootstrap interval over levels.

    The share of the mixture is computed anew in each resample of levels, so that costs are equal there too.

    Args:
        adaptive: results of the adaptive setting.
        fixed: results of the fixed settings on the same levels, by amount.
        confidence: of the interval.
        seed: of the resampling.
    """
    by_cost = sorted(fixed, key=lambda amount: float(fixed[amount].thinking.mean()))
    cost, spent = [float(fixed[amount].thinking.mean()) for amount in by_cost], float(adaptive.thinking.mean())
    nan = math.nan
    nothing = EqualCompute(nan, nan, nan, nan, nan, UNKNOWN)
    if len(by_cost) < 2 or not cost[0] <= spent <= cost[-1] or cost[0] == cost[-1]:
        return nothing
    right = min(max(int(np.searchsorted(cost, spent)), 1), len(cost) - 1)
    few, many = by_cost[right - 1], by_cost[right]
    low, high = fixed[few], fixed[many]

    def share(spent: np.ndarray, below: np.ndarray, above: np.ndarray, axis: int = -1) -> np.ndarray:
        below, above = below.mean(axis), above.mean(axis)
        return (spent.mean(axis) - below) / (above - below)

    def gain(
        score: np.ndarray, spent: np.ndarray, few_score: np.ndarray, few_spent: np.ndarray, many_score: np.ndarray,
        many_spent: np.ndarray, axis: int = -1,
    ) -> Any:  # fmt: skip
        more = share(spent, few_spent, many_spent, axis)
        return score.mean(axis) - (1 - more) * few_score.mean(axis) - more * many_score.mean(axis)

    samples = (adaptive.score, adaptive.thinking, low.score, low.thinking, high.score, high.thinking)
    more, found = float(share(adaptive.thinking, low.thinking, high.thinking)), float(gain(*samples))
    interval = UNKNOWN
    if len(adaptive.score) > 1:
        interval = bootstrap_interval(gain, *samples, confidence=confidence, seed=seed)
    mixture = float(adaptive.score.mean()) - found
    return EqualCompute(few, many, more, mixture, found, interval)


def mixture(beside: EqualCompute) -> dict[str, Any]:
    """The columns of a comparison in a table: the mixture's amounts, share and score, and the gain over it."""
    return {
        "passes": "" if math.isnan(beside.share) else f"{beside.fewer:g} or {beside.more:g}",
        "share": beside.share,
        "fixed": beside.fixed,
        "gain": beside.gain,
        "low": beside.interval.low,
        "high": beside.interval.high,
    }


def _played(records: pd.DataFrame, per_pass: float, measure: Measure) -> Played:
    ticks = records["ticks"].to_numpy(float)
    return Played(records[measure.column].to_numpy(float), ticks - per_pass * moves(records).to_numpy(float), ticks)

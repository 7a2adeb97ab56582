"""Thinking at equal mean compute: does a varying amount beat fixed numbers of passes that cost as much?

Compute is ticks of thinking: those beyond the one pass that each move has anyway.

Contains the findings on adaptive thinking, and functions shared with `drc_lab.evaluation.measures.learned`.
"""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int64, Real
from scipy import stats

from drc_lab.evaluation.kinds.adaptive import ADAPTIVE
from drc_lab.evaluation.kinds.first_passes import FIRST_PASSES
from drc_lab.evaluation.measures.criterion import SOLVED, Criterion, criterion_of
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.table import groups
from drc_lab.evaluation.play.records import baseline_of, moves, ticks_a_pass
from drc_lab.evaluation.stats.intervals import UNKNOWN, Interval, bootstrap_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Outcome(NamedTuple):
    """What a setting did on each level.

    Attributes:
        score: 1 for solved and 0 for unsolved, or returns.
        thinking: ticks of extra passes and of thinks.
        ticks: ticks of all passes.
    """

    score: Float[np.ndarray, "N"]
    thinking: Float[np.ndarray, "N"]
    ticks: Float[np.ndarray, "N"]


class EqualCompute(NamedTuple):
    """An adaptive setting compared with a mixture of two fixed amounts that spends as many ticks on extra passes.

    All fields are nan if no two fixed amounts have the adaptive setting's mean cost between them.

    Attributes:
        fewer, more: the two fixed amounts.
        share: share of levels that the mixture plays with ``more``.
        mixture_score: the mixture's solve rate or mean return.
        gain: the adaptive setting's solve rate or mean return minus ``mixture_score``.
        interval: paired interval of ``gain``.
    """

    fewer: float
    more: float
    share: float
    mixture_score: float
    gain: float
    interval: Interval


NOT_COMPARABLE = EqualCompute(math.nan, math.nan, math.nan, math.nan, math.nan, UNKNOWN)


def compute_findings(records: pd.DataFrame, confidence: float = 0.95) -> list[Finding]:
    """Two findings on the adaptive settings of one policy; [] if there are no such settings.

    Args:
        records: of one policy, see `drc_lab.evaluation.play.records`.
        confidence: of the intervals.
    """
    criterion, optimal = criterion_of(records), baseline_of(records)["optimal"].to_numpy()
    adaptive, fixed = (played_at(records, kind) for kind in (ADAPTIVE, FIRST_PASSES))
    if not adaptive:
        return []
    return [by_optimal(adaptive, optimal), equal_compute_finding(adaptive, fixed, confidence, criterion)]


def played_at(records: pd.DataFrame, kind: str) -> dict[float, Outcome]:
    """Scores and costs of one kind of thinking, by amount; {} if the kind was not played.

    Ticks of thinking are the ticks beyond one pass for each move, where the ticks of a pass are those of the baseline
    policy.
    """
    per_pass, criterion = ticks_a_pass(baseline_of(records)), criterion_of(records)
    theirs = records[records["kind"] == kind]
    return {
        float(amount): _outcome(played, per_pass, criterion) for amount, played in theirs.groupby("amount", sort=False)
    }


def by_optimal(adaptive: dict[float, Outcome], optimal: Int64[np.ndarray, "N"]) -> Finding:
    """Mean ticks of extra passes by optimal length: a row for each threshold, a column for each length."""
    rows = []
    for threshold, outcome in adaptive.items():
        rows.append({"threshold": threshold, **spread(outcome.thinking, optimal), "all_ticks": outcome.ticks.mean()})
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


def spread(thinking: Real[np.ndarray, "N"], optimal: Int64[np.ndarray, "N"]) -> dict[str, float]:
    """Means of ``thinking`` by ``optimal`` length, and Spearman's rank correlation of the two."""
    known, ranks = optimal >= 0, math.nan
    if known.any() and np.ptp(thinking[known]) > 0 and np.ptp(optimal[known]) > 0:
        ranks = float(stats.spearmanr(optimal[known], thinking[known]).statistic)
    means = {name: float(thinking[mask].mean()) for name, mask in groups(optimal).items()}
    return means | {"rank_correlation": ranks}


def equal_compute_finding(
    adaptive: dict[float, Outcome], fixed: dict[float, Outcome], confidence: float = 0.95, criterion: Criterion = SOLVED
) -> Finding:
    """Compares each adaptive setting with fixed numbers of first passes that cost as much."""
    rows = []
    for threshold, outcome in adaptive.items():
        beside = mixture(equal_compute(outcome, fixed, confidence))
        rows.append(
            {"threshold": threshold, "ticks": outcome.thinking.mean(), criterion.column: outcome.score.mean(), **beside}
        )
    text = (
        f"{criterion.column}, fixed: {criterion.means}, of adaptive thinking and of a mixture of two neighbouring "
        "numbers of first passes (share: of levels with the larger) that spends as many ticks on extra passes; gain: "
        f"the difference on these levels, low and high its {confidence:.0%} paired bootstrap interval over levels. "
        "Empty where no two fixed numbers have that cost between them: nothing is extrapolated."
    )

    def draw(axis: "Axes") -> None:
        cost = [outcome.thinking.mean() for outcome in fixed.values()]
        axis.plot(cost, [outcome.score.mean() for outcome in fixed.values()], marker="o", label="fixed first passes")
        for row in rows:
            axis.plot(row["ticks"], row[criterion.column], "s", label=f"adaptive, {row['threshold']:g} nats")
        axis.set(xlabel="mean ticks of extra passes", ylabel=criterion.metric.replace("_", " "))
        axis.legend()

    return Finding("equal_compute", "Adaptive or fixed, at equal mean compute?", text, pd.DataFrame(rows), draw)


def equal_compute(
    adaptive: Outcome, fixed: dict[float, Outcome], confidence: float = 0.95, seed: int = 0
) -> EqualCompute:
    """The gain of an adaptive setting at equal mean compute, with its paired percentile-bootstrap interval over levels.

    The mixture is of the same two amounts in each resample of levels, and its share of the larger is computed anew, so
    that costs are equal there too; this share may be below 0 or above 1 in a resample.

    Args:
        adaptive: results of the adaptive setting.
        fixed: results of the fixed settings on the same levels, by amount.
        confidence: of the interval.
        seed: of the resampling.
    """
    costs = {amount: float(outcome.thinking.mean()) for amount, outcome in fixed.items()}
    neighbours = _neighbours(float(adaptive.thinking.mean()), costs)
    if neighbours is None:
        return NOT_COMPARABLE
    few, many = (fixed[amount] for amount in neighbours)
    samples = (adaptive.score, adaptive.thinking, few.score, few.thinking, many.score, many.thinking)
    gain = float(gain_over_mixture(*samples))
    interval = UNKNOWN
    if len(adaptive.score) > 1:
        interval = bootstrap_interval(gain_over_mixture, *samples, confidence=confidence, seed=seed)
    share = float(share_of_more(adaptive.thinking, few.thinking, many.thinking))
    return EqualCompute(*neighbours, share, float(adaptive.score.mean()) - gain, gain, interval)


def _neighbours(spent: float, costs: dict[float, float]) -> tuple[float, float] | None:
    """The two amounts, by their mean costs, that have ``spent`` between them and are nearest to it; None without."""
    amounts = sorted({cost: amount for amount, cost in costs.items()}.values(), key=costs.__getitem__)  # one of equals
    ascending = [costs[amount] for amount in amounts]
    if len(amounts) < 2 or not ascending[0] <= spent <= ascending[-1]:
        return None
    more = min(max(int(np.searchsorted(ascending, spent)), 1), len(amounts) - 1)
    return amounts[more - 1], amounts[more]


def share_of_more(
    spent: Float[np.ndarray, "*R N"], few: Float[np.ndarray, "*R N"], many: Float[np.ndarray, "*R N"], axis: int = -1
) -> Float[np.ndarray, "*R"]:
    """The share of levels that have to be played with the larger of two amounts to spend ``spent`` in the mean.

    Args:
        spent, few, many: ticks of thinking on each level: to be spent, with fewer passes, and with more.
        axis: that of N.
    """
    few_cost = few.mean(axis)
    return np.asarray((spent.mean(axis) - few_cost) / (many.mean(axis) - few_cost))


def gain_over_mixture(
    score: Float[np.ndarray, "*R N"],
    spent: Float[np.ndarray, "*R N"],
    few_score: Float[np.ndarray, "*R N"],
    few_spent: Float[np.ndarray, "*R N"],
    many_score: Float[np.ndarray, "*R N"],
    many_spent: Float[np.ndarray, "*R N"],
    axis: int = -1,
) -> Float[np.ndarray, "*R"]:
    """Mean score minus that of a mixture of two other settings that spends as much, in each of R resamples if any."""
    share = share_of_more(spent, few_spent, many_spent, axis)
    return np.asarray(score.mean(axis) - (1 - share) * few_score.mean(axis) - share * many_score.mean(axis))


def mixture(beside: EqualCompute) -> dict[str, Any]:
    """The columns of a comparison in a table: the mixture's amounts, share and score, and the gain over it."""
    return {
        "passes": "" if math.isnan(beside.share) else f"{beside.fewer:g} or {beside.more:g}",
        "share": beside.share,
        "fixed": beside.mixture_score,
        "gain": beside.gain,
        "low": beside.interval.low,
        "high": beside.interval.high,
    }


def _outcome(records: pd.DataFrame, per_pass: float, criterion: Criterion) -> Outcome:
    ticks = records["ticks"].to_numpy(float)
    return Outcome(records[criterion.column].to_numpy(float), ticks - per_pass * moves(records).to_numpy(float), ticks)

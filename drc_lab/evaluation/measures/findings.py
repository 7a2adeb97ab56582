"""Findings from the records of a thinking sweep, one for each question."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from drc_lab.evaluation.kinds.first_passes import FIRST_PASSES
from drc_lab.evaluation.kinds.registry import kind_named
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.table import groups
from drc_lab.evaluation.play.records import SETTING, baseline_of, ticks_a_step
from drc_lab.evaluation.stats.intervals import mean_interval, rate_interval


def by_optimal_length(records: pd.DataFrame) -> Finding | None:
    """Solve rates of all settings by optimal length; None if no level's optimal length is known."""
    masks = groups(baseline_of(records)["optimal"].to_numpy())
    if not set(masks) - {"all", "unknown"}:
        return None
    return _rates(
        records,
        masks,
        "solve_rate_by_optimal_length",
        "Which levels are solved? By optimal length",
        "steps of an optimal solution",
    )


def by_size(records: pd.DataFrame) -> Finding | None:
    """Solve rates of all settings by the longer side of the level; None if sizes are unknown or all the same."""
    if "height" not in records:
        return None
    longer = baseline_of(records)[["height", "width"]].max(axis=1).to_numpy()
    if longer.min() == longer.max():
        return None
    masks = {"all": np.ones(len(longer), bool)} | {str(side): longer == side for side in np.unique(longer)}
    return _rates(
        records, masks, "solve_rate_by_size", "Which levels are solved? By size", "longer side of the level, in cells"
    )


def optimality(records: pd.DataFrame, confidence: float = 0.95) -> Finding | None:
    """Steps beyond the optimum; None if no level's optimum is known."""
    if not (records["optimal"] >= 0).any():
        return None
    rows = []
    for setting, played in _settings(records):
        known = played[played["solved"] & (played["optimal"] >= 0)]
        gap = (known["length"] - known["optimal"]).to_numpy(float)
        share = [float((gap == 0).mean()), *rate_interval(gap == 0, confidence)] if len(gap) else [np.nan] * 3
        mean = gap.mean() if len(gap) else np.nan
        rows.append([*setting, len(gap), mean, *mean_interval(gap, confidence), *share])
    columns = ["solved_levels", "gap", "gap_low", "gap_high", "optimal", "optimal_low", "optimal_high"]
    return Finding(
        "optimality",
        "How long are the solutions?",
        "gap: mean steps beyond the fewest possible; optimal: share of solutions with the fewest. Over the levels that "
        f"the setting solved and whose optimum is known, which differ between settings; {confidence:.0%} intervals. "
        "Steps in which the policy was told to wait count.",
        pd.DataFrame(rows, columns=[*SETTING, *columns]),
        in_terminal=False,
    )


def time_to_solve(records: pd.DataFrame) -> Finding:
    """Share of levels that are solved within 1, 2, 4, ... steps."""
    longest = int(records["length"].max())
    steps = [*(2**k for k in range(longest.bit_length()) if 2**k < longest), longest]
    rows = []
    for setting, played in _settings(records):
        taken = np.where(played["solved"], played["length"], np.inf)
        middle = float(np.quantile(taken, 0.5, method="inverted_cdf"))
        rows.append([*setting, *((taken <= n).mean() for n in steps), middle if middle < np.inf else np.nan])

    def draw(axes: Any) -> None:
        grid = np.arange(longest + 1)
        for (_, amount), played in _settings(records[records["kind"] == FIRST_PASSES]):
            taken = np.sort(played["length"][played["solved"]].to_numpy())
            axes.step(grid, np.searchsorted(taken, grid, "right") / len(played), where="post", label=f"{amount:g}")
        axes.set(xlabel="steps", ylabel="share of levels solved within them", ylim=(0, 1.02))
        axes.legend(title="extra first passes")

    return Finding(
        "time_to_solve",
        "How soon are levels solved?",
        "Share of all levels solved within so many steps; median: the steps within which half of all levels are "
        "solved, missing where fewer ever are.",
        pd.DataFrame(rows, columns=[*SETTING, *(f"within {n}" for n in steps), "median"]),
        draw,
        in_terminal=False,
    )


def only_with_thinking(records: pd.DataFrame, confidence: float = 0.95) -> Finding | None:
    """Levels that each kind of thinking gains and loses, and how hard they are; None if no kind adds thinking.

    Settings with fewer ticks per step than the baseline policy are left out.
    """
    plain = baseline_of(records)
    before, optimal = plain["solved"].to_numpy(), _known(plain["optimal"])
    rows, hardness = [], {"all levels": optimal}
    for kind, played in records.groupby("kind", sort=False):
        if not kind_named(str(kind)).adds_thinking:
            continue
        after = {
            amount: plays["solved"].to_numpy()
            for (_, amount), plays in _settings(played)
            if not plays["baseline"].iloc[0] and ticks_a_step(plays) >= ticks_a_step(plain) - 1e-6
        }
        if not after:
            continue
        sometimes, always = np.any(list(after.values()), axis=0), np.all(list(after.values()), axis=0)
        most = (min if kind_named(str(kind)).less_is_more else max)(after)
        for amount, gains, keeps in ((f"{most:g}", after[most], after[most]), ("any", sometimes, always)):
            if amount == "any" and len(after) == 1:
                continue
            gained, lost = ~before & gains, before & ~keeps
            rows.append([kind, amount, int(gained.sum()), int(lost.sum()), _mean(optimal[gained]),
                         *mean_interval(optimal[gained], confidence), _mean(optimal[lost])])  # fmt: skip
        if gained.any():
            hardness[f"gained by {kind}"] = optimal[gained]
    if not rows:
        return None
    known = "" if np.isnan(optimal).all() else f"; of all levels it is {_mean(optimal):.2f}"
    return Finding(
        "only_with_thinking",
        "Which levels are solved only with thinking?",
        "gained: levels solved with it and not by the baseline policy; lost: the reverse. With the most of each kind, "
        "and then with any amount of it: some of several amounts gain and lose more by chance alone. optimum: mean "
        f"optimal length of the gained, with its {confidence:.0%} interval, and of the lost{known}.",
        pd.DataFrame(rows, columns=["kind", "amount", "gained", "lost", "optimum", "low", "high", "optimum_lost"]),
        _hardness_drawer(hardness) if len(hardness) > 1 and known else None,
    )


def _settings(records: pd.DataFrame) -> Iterator[tuple[tuple[str, float], pd.DataFrame]]:
    for (kind, amount), played in records.groupby(SETTING, sort=False):
        yield (str(kind), float(amount)), played


def _known(optimal: pd.Series) -> Float[np.ndarray, "N"]:
    """Optimal lengths as floats, nan if unknown."""
    return optimal.where(optimal >= 0).to_numpy(float)


def _mean(values: Float[np.ndarray, "N"]) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def _rates(
    records: pd.DataFrame, masks: dict[str, Bool[np.ndarray, "N"]], name: str, title: str, label: str
) -> Finding:
    """Solve rates of all settings by groups of levels, which are given as masks."""
    rows = [
        [*setting, *(played["solved"].to_numpy()[mask].mean() for mask in masks.values())]
        for setting, played in _settings(records)
    ]
    table = pd.DataFrame(rows, columns=[*SETTING, *masks])

    def draw(axes: Any) -> None:
        names = [name for name in masks if name != "all"]
        for _, row in table[table["kind"] == FIRST_PASSES].iterrows():
            axes.plot(names, row[names].astype(float), marker="o", label=f"{row['amount']:g}")
        axes.set(xlabel=label, ylabel="solve rate", ylim=(0, 1.02))
        axes.legend(title="extra first passes")

    levels = ", ".join(f"{name}: {mask.sum()}" for name, mask in masks.items())
    text = f"Share of levels solved, by {label}. Levels in each group: {levels}."
    return Finding(name, title, text, table, draw, in_terminal=False)


def _hardness_drawer(hardness: dict[str, Float[np.ndarray, "N"]]) -> Callable[..., Any]:
    def draw(axes: Any) -> None:
        longest = int(np.nanmax(hardness["all levels"]))
        bins = np.arange(0.5, longest + 1)
        for name, optimal in hardness.items():
            known = optimal[~np.isnan(optimal)]
            axes.hist(known, bins, weights=np.full(len(known), 1 / max(1, len(known))), histtype="step", label=name)
        axes.set(xlabel="steps of an optimal solution", ylabel="share of these levels")
        axes.legend(fontsize="small")

    return draw

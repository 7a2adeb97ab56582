"""Which gains are more than chance, and which gains the run could have detected."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from drc_lab.evaluation.measures.criterion import SOLVED
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.table import Row
from drc_lab.evaluation.stats.power import detectable_gain
from drc_lab.evaluation.stats.significance import verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LISTED = 5  # settings named in a sentence, at most


def gain_findings(rows: Sequence[Row], confidence: float = 0.95, power: float = 0.8) -> list[Finding]:
    """Tests of one policy's settings against the baseline policy and, for solve rates, the gains they could detect.

    Args:
        rows: of one policy, see `drc_lab.evaluation.measures.table.table`.
        confidence: 1 - alpha of the tests.
        power: with which a gain counts as detectable, see `drc_lab.evaluation.stats.power`.
    """
    tests = comparisons(rows, confidence)
    return [tests, detectable(rows, confidence, power)] if rows[0].criterion.is_rate else [tests]


def comparisons(rows: Sequence[Row], confidence: float = 0.95) -> Finding:
    """Which gains and losses are significant after the correction for multiple tests."""
    alpha = 1 - confidence
    compared = [row for row in rows if row.optimal == "all" and not math.isnan(row.p_value)]
    thinking = [row for row in compared if row.is_thinking]
    table = pd.DataFrame(
        {
            "kind": row.kind,
            "amount": math.nan if row.is_control else row.amount,
            "gain": row.difference,
            "helped": row.helped,
            "hurt": row.hurt,
            "p": row.p_value,
            "p_holm": row.p_adjusted,
            "clear": "" if row.is_control else verdict(row.difference, row.p_adjusted, confidence),
        }
        for row in compared
    )
    levels = max((row.levels for row in rows), default=0)
    criterion = rows[0].criterion if rows else SOLVED
    test = "McNemar's exact test" if criterion.is_rate else "the paired t test"
    differ = "solved only with, and only without" if criterion.is_rate else "with a higher, and a lower return"
    text = (
        f"{_in_words(thinking, confidence)} helped, hurt: levels {differ}, of {levels:,}. p: "
        f"{test}. p_holm: corrected for {len(thinking)} settings, controls not among them; where it is "
        f"at most {alpha:.3g}, the gain is clear. All of this is about one training: another seed may think otherwise."
    )
    draw = (lambda axis: _draw(axis, thinking, confidence)) if thinking else None
    return Finding("gains", "Which gains are more than chance?", text, table, draw, in_terminal=False)


def detectable(rows: Sequence[Row], confidence: float = 0.95, power: float = 0.8) -> Finding:
    """The smallest gain of each setting that could have been found, given the share of levels that did differ."""
    thinking, alpha = [row for row in rows if row.is_thinking], 1 - confidence
    table = pd.DataFrame(
        {
            "kind": row.kind,
            "amount": row.amount,
            "differing": _differing(row),
            "alone": detectable_gain(row.levels, _differing(row), power, alpha),
            "corrected": detectable_gain(row.levels, _differing(row), power, alpha / len(thinking)),
        }
        for row in thinking
    )
    text = (
        f"By the share of levels that did change. The smallest gain that the test finds with {power:.0%} power: in one "
        f"comparison, and after the correction for {len(thinking)}. differing: share of levels that only one of the "
        f"two solves. nan: too few levels differ."
    )
    return Finding(
        "detectable", "After it was played: which gains would have been found?", text, table, in_terminal=False
    )


def sensitivity(rows: Sequence[Row], confidence: float = 0.95, power: float = 0.8) -> str:
    """A sentence on which gains the run could have detected, from the largest share of levels that did differ."""
    thinking = [row for row in rows if row.is_thinking]
    if not thinking:
        return "No setting of thinking was compared."
    widest = max(thinking, key=_differing)
    alone, corrected = (
        detectable_gain(widest.levels, _differing(widest), power, alpha)
        for alpha in (1 - confidence, (1 - confidence) / len(thinking))
    )
    begin = (
        f"At most {_differing(widest):.1%} of the {widest.levels:,} levels changed ({widest.kind} {widest.amount:g}): "
    )
    if math.isnan(alone):
        return begin + f"too few to show any gain with {power:.0%} power."
    more = "none" if math.isnan(corrected) else f"{100 * corrected:.1f}"
    return begin + (
        f"with {power:.0%} power this run shows gains of {100 * alone:.1f} points and more in one comparison, {more} "
        f"after the correction for {len(thinking)}."
    )


def _differing(row: Row) -> float:
    return (row.helped + row.hurt) / row.levels


def _in_words(thinking: Sequence[Row], confidence: float) -> str:
    said = []
    for what, verb in (("helps", "help"), ("hurts", "hurt")):
        names = [
            f"{row.kind} {row.amount:g}"
            for row in thinking
            if verdict(row.difference, row.p_adjusted, confidence) == what
        ]
        if names:
            more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            said.append(f"{len(names)} of {len(thinking)} settings clearly {verb}: {', '.join(names[:LISTED])}{more}.")
    return " ".join(said) or "No gain and no loss stays clear of 0 after the correction."


def _draw(axis: "Axes", rows: Sequence[Row], confidence: float) -> None:
    """Draws gains with their intervals; the marker is filled if the gain is significant after the correction."""
    scale = rows[0].criterion.scale
    for place, row in enumerate(rows):
        clear = verdict(row.difference, row.p_adjusted, confidence)
        color = {"helps": "C2", "hurts": "C3"}.get(clear, "gray")
        axis.plot([scale * row.difference_low, scale * row.difference_high], [place, place], color=color)
        axis.plot(scale * row.difference, place, "o", color=color, markerfacecolor=color if clear else "white")
    axis.axvline(0, color="black", linewidth=0.7)
    axis.set_yticks(range(len(rows)), [f"{row.kind} {row.amount:g}" for row in rows], fontsize="x-small")
    axis.invert_yaxis()
    axis.set(xlabel=f"gain over the baseline policy, {rows[0].criterion.unit} (filled: clear after the correction)")

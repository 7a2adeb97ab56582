"""Which gains are more than chance, and which ones the run could have seen."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from drc_lab.evaluation.finding import Finding
from drc_lab.evaluation.power import detectable_gain
from drc_lab.evaluation.table import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def gain_finding(rows: Sequence[Row], confidence: float = 0.95, power: float = 0.8) -> Finding:
    """The comparisons of one policy's settings with the policy as it is, see `drc_lab.evaluation.table.table`.

    Args:
        rows: of one policy.
        confidence: 1 - alpha of the tests.
        power: of ``detectable``, see `drc_lab.evaluation.power`.
    """
    alpha = 1 - confidence
    compared = [row for row in rows if row.optimal == "all" and not math.isnan(row.p_value)]
    thinking = [row for row in compared if row.is_thinking]
    table = pd.DataFrame(
        {
            "kind": row.kind,
            "amount": math.nan if row.is_control else row.amount,
            "gain": row.difference,
            "low": row.difference_low,
            "high": row.difference_high,
            "helped": row.helped,
            "hurt": row.hurt,
            "p_value": row.p_value,
            "p_adjusted": row.p_adjusted,
            "detectable": _detectable(row, power, alpha / max(1, len(thinking))) if row.is_thinking else math.nan,
            "clear": "" if row.is_control else verdict(row, alpha),
        }
        for row in compared
    )
    levels = max((row.levels for row in rows), default=0)
    text = (
        f"{_in_words(thinking, alpha)} helped, hurt: levels solved only with, and only without, of {levels:,}. "
        f"p_value: McNemar's exact test; p_adjusted: by Holm for {len(thinking)} settings, controls not among them. "
        f"low, high: {confidence:.0%} paired bootstrap over levels, of each gain alone. detectable: the smallest gain that the "
        f"corrected test finds with {power:.0%} power where as many levels differ as here; nan where too few do."
    )
    return Finding("gains", "Which gains are more than chance?", text, table, lambda axis: _draw(axis, compared, alpha))


def verdict(row: Row, alpha: float) -> str:
    """ "helps" or "hurts" where that is clear after the correction, else ""."""
    if not row.p_adjusted <= alpha:
        return ""
    return "helps" if row.difference > 0 else "hurts"


def sensitivity(rows: Sequence[Row], confidence: float = 0.95, power: float = 0.8) -> str:
    """A sentence on what the run could have seen, from the share of levels on which settings did differ."""
    thinking = [row for row in rows if row.is_thinking]
    if not thinking:
        return "No setting of thinking was compared."
    widest = max(thinking, key=lambda row: row.helped + row.hurt)
    share = (widest.helped + widest.hurt) / widest.levels
    alone, all_of_them = (detectable_gain(widest.levels, share, power, a)
                          for a in (1 - confidence, (1 - confidence) / len(thinking)))  # fmt: skip
    begin = f"At most {share:.1%} of the {widest.levels:,} levels changed ({widest.kind} {widest.amount:g}): "
    if math.isnan(alone):
        return begin + f"too few levels to show any gain with {power:.0%} power."
    more = "no gain" if math.isnan(all_of_them) else f"gains of {100 * all_of_them:.1f}"
    return begin + (
        f"with {power:.0%} power this run shows gains of {100 * alone:.1f} points and more in one comparison, "
        f"{more} after the correction for {len(thinking)}."
    )


def _detectable(row: Row, power: float, alpha: float) -> float:
    return detectable_gain(row.levels, (row.helped + row.hurt) / row.levels, power, alpha)


def _in_words(thinking: Sequence[Row], alpha: float) -> str:
    clear = {what: [f"{row.kind} {row.amount:g}" for row in thinking if verdict(row, alpha) == what]
             for what in ("helps", "hurts")}  # fmt: skip
    said = [f"{', '.join(names)} clearly {what}." for what, names in clear.items() if names]
    return " ".join(said) or "No gain and no loss stays clear of 0 after the correction."


def _draw(axis: "Axes", rows: Sequence[Row], alpha: float) -> None:
    """Gains with their intervals, filled where they are clear after the correction."""
    for place, row in enumerate(rows):
        clear = verdict(row, alpha)
        color = {"helps": "C2", "hurts": "C3"}.get(clear, "gray")
        axis.plot([100 * row.difference_low, 100 * row.difference_high], [place, place], color=color)
        axis.plot(100 * row.difference, place, "o", color=color, markerfacecolor=color if clear else "white")
    axis.axvline(0, color="black", linewidth=0.7)
    names = [row.kind if row.is_control else f"{row.kind} {row.amount:g}" for row in rows]
    axis.set_yticks(range(len(rows)), names)
    axis.invert_yaxis()
    axis.set(xlabel="gain over the policy as it is, in points (filled: clear after the correction)")

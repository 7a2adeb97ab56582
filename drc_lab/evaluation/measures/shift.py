"""Findings on one policy under distribution shifts: how its score and its gain from thinking hold up."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from drc_lab.evaluation.kinds.first_passes import FIRST_PASSES
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.table import Row
from drc_lab.evaluation.report.summary import summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def shift_findings(rows: Mapping[str, Sequence[Row]], confidence: float = 0.95) -> list[Finding]:
    """A row for the base and for each shift: the baseline policy, the random one, the best setting with more thinking.

    Args:
        rows: of each of them, by name, see `drc_lab.evaluation.measures.table.table`.
        confidence: of the intervals.

    Returns:
        the findings; [] if there is only the base. Reports and files call each of them a world, as the config does.
    """
    if len(rows) < 2:
        return []
    plain, thinking, criterion = [], [], next(iter(rows.values()))[0].criterion
    for name, its_rows in rows.items():
        (summary,) = summarise(its_rows, confidence)
        base, best = summary.baseline, summary.best
        random = next((row.value for row in summary.controls if row.kind == "random"), float("nan"))
        plain.append({"world": name, "levels": base.levels, criterion.column: base.value, "low": base.low,
                      "high": base.high, "steps": base.mean_length, "random": random})  # fmt: skip
        if best is not None:
            thinking.append({"world": name, "best": f"{best.kind} {best.amount:g}", "gain": best.difference,
                             "low": best.difference_low, "high": best.difference_high,
                             "p_holm": best.p_adjusted})  # fmt: skip
    about_plain = (
        f"{criterion.column}: {criterion.means} of the baseline policy, with its {confidence:.0%} interval; random: of "
        "the random policy. Each world has levels of its own, as hard as they happen to be there."
    )
    about_thinking = (
        "best: of all settings with more thinking the best one there; gain: its difference from the baseline policy on "
        f"the same levels, with a {confidence:.0%} paired interval that knows nothing of that choice. "
        "p_holm: corrected for all settings in that world."
    )

    def draw(axis: "Axes") -> None:
        for name, its_rows in rows.items():
            line = [row for row in its_rows if row.kind == FIRST_PASSES and row.optimal == "all"]
            amounts = [row.amount for row in line]
            (curve,) = axis.plot(amounts, [criterion.scale * row.difference for row in line], marker="o", label=name)
            low, high = (
                [criterion.scale * getattr(row, f"difference_{end}") for row in line] for end in ("low", "high")
            )
            axis.fill_between(amounts, low, high, color=curve.get_color(), alpha=0.15, linewidth=0)
        axis.axhline(0, color="black", linewidth=0.7)
        axis.set(xlabel="extra passes on the first observation", ylabel=f"gain, {criterion.unit}")
        axis.legend(fontsize="small")

    findings = [Finding("worlds", "What is left of it in other worlds?", about_plain, pd.DataFrame(plain))]
    if thinking:
        title = "Does more thinking help in other worlds?"
        findings.append(Finding("worlds_thinking", title, about_thinking, pd.DataFrame(thinking), draw))
    return findings

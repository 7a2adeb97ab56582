"""The checkpoints of one training: when does thinking begin to help?"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from drc_lab.evaluation.finding import Finding
from drc_lab.evaluation.table import Row
from drc_lab.evaluation.thinking import FIRST_PASSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def over_frames_finding(rows: Sequence[Row], confidence: float = 0.95) -> Finding:
    """Solve rate and gain of each setting against env frames.

    Args:
        rows: of checkpoints of one training, see `drc_lab.evaluation.table.table`.
        confidence: of the intervals.
    """
    overall = sorted((row for row in rows if row.optimal == "all"), key=lambda row: row.frames)
    table = pd.DataFrame(
        {
            "frames": row.frames,
            "checkpoint": row.checkpoint,
            "kind": row.kind,
            "amount": math.nan if row.is_control else row.amount,
            "solve_rate": row.solve_rate,
            "gain": row.difference,
            "low": row.difference_low,
            "high": row.difference_high,
            "p_value": row.p_value,
            "p_adjusted": row.p_adjusted,
        }
        for row in overall
    )
    text = (
        f"Gain over the same checkpoint without extra thinking on the same levels, with its {confidence:.0%} paired "
        "bootstrap interval over levels; p_adjusted: by Holm over the settings of one checkpoint. One training: its "
        "checkpoints are no independent samples, and another seed may go another way."
    )

    def draw(axis: "Axes") -> None:
        shown = [row for row in overall if row.kind == FIRST_PASSES and row.is_thinking]
        for amount in sorted({row.amount for row in shown}):
            line = [row for row in shown if row.amount == amount]
            frames = [row.frames for row in line]
            (drawn,) = axis.plot(frames, [100 * row.difference for row in line], marker="o", label=f"{amount:g}")
            low, high = ([100 * getattr(row, f"difference_{end}") for row in line] for end in ("low", "high"))
            axis.fill_between(frames, low, high, color=drawn.get_color(), alpha=0.15, linewidth=0)
        axis.axhline(0, color="black", linewidth=0.7)
        axis.set(xlabel="env frames", ylabel="gain, in points")
        if shown:
            axis.legend(title="extra first passes", fontsize="small")

    return Finding("over_frames", "When does thinking begin to help?", text, table, draw)


def metrics_at(rows: Sequence[Row]) -> dict[int, dict[str, float]]:
    """What MLflow shows as curves: metrics of each checkpoint, by frames."""
    found: dict[int, dict[str, float]] = {}
    for row in rows:
        if row.optimal != "all":
            continue
        at = found.setdefault(row.frames, {})
        if row.is_thinking:
            name = f"over_frames/{row.kind}_{row.amount:g}"
            at |= {f"{name}_gain": row.difference, f"{name}_gain_low": row.difference_low,
                   f"{name}_gain_high": row.difference_high}  # fmt: skip
        elif row.is_control:
            at[f"over_frames/{row.kind}_solve_rate"] = row.solve_rate
        else:
            at["over_frames/solve_rate"] = row.solve_rate
    return found

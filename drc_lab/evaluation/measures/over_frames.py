"""Findings over the checkpoints of one training: when does thinking begin to help?"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from drc_lab.evaluation.kinds.first_passes import FIRST_PASSES
from drc_lab.evaluation.kinds.registry import kind_named
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.table import Row
from drc_lab.evaluation.stats.significance import verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def over_frames_findings(rows: Sequence[Row], confidence: float = 0.95) -> list[Finding]:
    """Gains of first passes at each checkpoint, then the score and gain of every setting against env frames.

    Args:
        rows: of checkpoints of one training, see `drc_lab.evaluation.measures.table.table`.
        confidence: of the intervals.
    """
    overall = sorted((row for row in rows if row.optimal == "all"), key=lambda row: row.frames)
    criterion = overall[0].criterion
    table = pd.DataFrame(
        {
            "frames": row.frames,
            "checkpoint": row.checkpoint,
            "kind": row.kind,
            "amount": math.nan if row.is_control else row.amount,
            row.criterion.metric: row.value,
            "gain": row.difference,
            "low": row.difference_low,
            "high": row.difference_high,
            "p": row.p_value,
            "p_holm": row.p_adjusted,
        }
        for row in overall
    )
    text = (
        f"Gain over the same checkpoint without extra thinking on the same levels, with its {confidence:.0%} paired "
        "bootstrap interval over levels. p_holm: corrected for the settings of one checkpoint. "
    )
    one = "One training: its checkpoints are no independent samples, and another seed may go another way."

    def draw(axis: "Axes") -> None:
        scale = criterion.scale
        shown = [row for row in overall if row.kind == FIRST_PASSES and row.is_thinking]
        for amount in sorted({row.amount for row in shown}):
            line = [row for row in shown if row.amount == amount]
            frames = [row.frames for row in line]
            (drawn,) = axis.plot(frames, [scale * row.difference for row in line], marker="o", label=f"{amount:g}")
            low, high = ([scale * getattr(row, f"difference_{end}") for row in line] for end in ("low", "high"))
            axis.fill_between(frames, low, high, color=drawn.get_color(), alpha=0.15, linewidth=0)
        axis.axhline(0, color="black", linewidth=0.7)
        axis.set(xlabel="env frames", ylabel=f"gain, {criterion.unit}")
        if shown:
            axis.legend(title="extra first passes", fontsize="small")

    short = (
        f"{criterion.column}: without extra thinking; gain_N: of N extra first passes on the same levels; clear: which "
        f"of them help (+N) or hurt (-N) after the correction for the settings of one checkpoint. {one}"
    )
    return [
        Finding(
            "first_passes_over_frames", "When does thinking begin to help?", short, _first_passes(overall, confidence)
        ),
        Finding("over_frames", "Gains over frames", text + one, table, draw, in_terminal=False),
    ]


def _first_passes(overall: Sequence[Row], confidence: float) -> pd.DataFrame:
    """A table with a row for each checkpoint and a column for each number of first passes."""
    lines: dict[tuple[int, str], dict[str, Any]] = {}
    for row in overall:
        if row.kind != FIRST_PASSES:
            continue
        line = lines.setdefault(
            (row.frames, row.checkpoint), {"frames": row.frames, row.criterion.column: row.value, "clear": ""}
        )
        if row.is_thinking:
            line[f"gain_{row.amount:g}"] = row.difference
            sign = {"helps": "+", "hurts": "-"}.get(verdict(row.difference, row.p_adjusted, confidence))
            line["clear"] += f" {sign}{row.amount:g}" if sign else ""
    return pd.DataFrame([line | {"clear": line.pop("clear").strip()} for line in lines.values()])


def metrics_at(rows: Sequence[Row]) -> dict[int, dict[str, float]]:
    """Metrics of each checkpoint by frames, which MLflow shows as curves."""
    by_frames: dict[int, dict[str, float]] = {}
    for row in rows:
        if row.optimal != "all":
            continue
        at = by_frames.setdefault(row.frames, {})
        if row.is_thinking:
            name = f"over_frames/{row.kind}_{row.amount:g}"
            at |= {
                f"{name}_gain": row.difference,
                f"{name}_gain_low": row.difference_low,
                f"{name}_gain_high": row.difference_high,
            }
        elif row.is_control:
            at[f"over_frames/{row.kind}_{row.criterion.metric}"] = row.value
        elif not kind_named(row.kind).adds_thinking:
            at[f"over_frames/{row.kind}_{row.amount:g}_{row.criterion.metric}"] = row.value
        else:
            at[f"over_frames/{row.criterion.metric}"] = row.value
    return by_frames

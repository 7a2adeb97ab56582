"""Nested runs in MLflow: one for each setting of thinking, of one policy or of several seeds."""

import math
from collections.abc import Sequence
from typing import Any

from drc_lab.evaluation.measures.criterion import CRITERIA
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.evaluation.measures.table import Row
from drc_lab.tracking.descriptions import of_setting
from drc_lab.tracking.naming import setting_names
from drc_lab.tracking.run import Run

COLUMNS = {"": "mean", "_low": "low", "_high": "high"}  # ends of metrics' names, and columns of findings over seeds


def log_settings(rows: Sequence[Row], run: Run, frames: int) -> None:
    """Logs a nested run for each setting, and in ``run`` a curve over amounts of thinking."""
    rows = [row for row in rows if row.optimal == "all"]
    names = setting_names([(row.kind, math.nan if row.is_control else row.amount) for row in rows])
    for row, name in zip(rows, names, strict=True):
        metric = row.criterion.metric
        metrics = {metric: row.value, f"{metric}_low": row.low, f"{metric}_high": row.high,
                   "length": row.mean_length, "return": row.mean_return, "ticks": row.mean_ticks,
                   "gain": row.difference, "gain_low": row.difference_low, "gain_high": row.difference_high,
                   "helped": row.helped, "hurt": row.hurt, "p_value": row.p_value,
                   "p_adjusted": row.p_adjusted}  # fmt: skip
        if not row.is_control and row.amount.is_integer():
            run.log_metrics({f"thinking/{row.kind}_{metric}": row.value}, step=int(row.amount))
        params = {"kind": row.kind, "amount": f"{row.amount:g}", "levels": row.levels, "frames": frames}
        note = of_setting(row.kind, None if row.is_control else row.amount, metric)
        _log_nested(run, name, params, note, metrics)


def log_over_seeds(findings: Sequence[Finding], run: Run, seeds: int) -> None:
    """Logs means over seeds: a nested run for each setting, and in ``run`` a curve over amounts of thinking."""
    rates, gains, robust = (finding.table for finding in findings if finding.name != "seeds_single")
    of_gains = {(row["kind"], str(row["amount"])): row for row in gains.to_dict("records")}
    criterion = next(criterion for criterion in CRITERIA.values() if criterion.column in robust)
    iqm_of = {criterion.column: f"{criterion.metric}_iqm", "gain": "gain_iqm"}
    iqm_names = {old + end: new + end for old, new in iqm_of.items() for end in COLUMNS}
    robust = robust.rename(columns=iqm_names)
    names = setting_names(list(zip(rates["kind"], rates["amount"], strict=True)))
    for row, iqm, name in zip(rates.to_dict("records"), robust.to_dict("records"), names, strict=True):
        metrics = {f"{criterion.metric}{end}": row[column] for end, column in COLUMNS.items()}
        gain = of_gains.get((row["kind"], str(row["amount"])), {})
        metrics |= {f"gain{end}": gain[column] for end, column in COLUMNS.items() if gain}
        metrics |= {"p_value": gain["p"], "p_adjusted": gain["p_holm"]} if gain else {}
        metrics |= {name: value for name, value in iqm.items() if "iqm" in name}
        amount = "" if math.isnan(row["amount"]) else f"{row['amount']:g}"
        if amount.isdigit():
            run.log_metrics({f"thinking/{row['kind']}_{criterion.metric}": row["mean"]}, step=int(row["amount"]))
        params = {"kind": row["kind"], "amount": amount or "0", "seeds": seeds}
        note = of_setting(row["kind"], row["amount"] if amount else None, criterion.metric)
        _log_nested(run, name, params, note, metrics)


def _log_nested(run: Run, name: str, params: dict[str, Any], note: str, metrics: dict[str, float]) -> None:
    """Logs a nested run with the metrics that are known."""
    with run.child(name, params, note) as child:
        # All at step 0: MLflow then draws bars instead of curves of one point.
        child.log_metrics({metric: value for metric, value in metrics.items() if not math.isnan(value)})

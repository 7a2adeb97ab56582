"""Formats settings and numbers for tables, plots and sentences."""

import math
from typing import Any

import numpy as np
import pandas as pd

from drc_lab.evaluation.kinds.registry import kind_named
from drc_lab.evaluation.measures.table import Row
from drc_lab.evaluation.stats.intervals import Interval

BASELINE = "baseline"


def amount(row: Row) -> str:
    """A setting's amount of thinking; "" for controls, which have none."""
    return "" if row.is_control else f"{row.amount:g}"


def described(kind: str, size: float) -> str:
    """A phrase for a setting, for use in a sentence."""
    words = kind_named(kind).words
    if size == 1 and words.one is not None:
        return words.one
    return words.sentence.replace("{}", f"{size:g}")


def player(row: Row, thinking: bool = True) -> str:
    """Name of the player, for a narrow column; in a table without settings of thinking, the policy is "baseline"."""
    return kind_named(row.kind).words.short if thinking or row.is_control else BASELINE


def percent(share: float, interval: tuple[float, float], sign: str = "") -> str:
    """A share in percent, as ``62.1 [59.0, 65.1]``; ``sign="+"`` shows the sign of positive numbers too."""
    value, low, high = (f"{100 * x:{sign}.1f}" for x in (share, *interval))
    return f"{value} [{low}, {high}]"


def number(value: float, interval: tuple[float, float], sign: str = "") -> str:
    """A number, as ``217 [203, 231]``, or without an interval that is nan, as for a single level.

    ``sign="+"`` shows the sign of positive numbers too.
    """
    value_, low, high = (f"{x:{sign}.4g}" for x in (value, *interval))
    return value_ if math.isnan(interval[0]) else f"{value_} [{low}, {high}]"


def score(row: Row) -> str:
    """The solve rate in percent, or the mean return, with its interval."""
    return (percent if row.criterion.is_rate else number)(row.value, Interval(row.low, row.high))


def mean(row: Row) -> str:
    """The same without the interval, for tables with many numbers."""
    return f"{100 * row.value:.0f}" if row.criterion.is_rate else f"{row.value:.3g}"


def gain(row: Row) -> str:
    """The difference from the baseline policy, in points or of return, with its paired interval."""
    shown = percent if row.criterion.is_rate else number
    return shown(row.difference, Interval(row.difference_low, row.difference_high), "+")


def p_value(row: Row) -> str:
    """The p-value after Holm's correction; "" for rows without one."""
    if math.isnan(row.p_adjusted):
        return ""
    return f"{row.p_adjusted:.3f}" if row.p_adjusted >= 0.001 else f"{row.p_adjusted:.0e}"


def is_number(column: pd.Series) -> bool:
    """Whether a column of a finding's table is numeric and therefore aligned to the right."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def cell(value: Any) -> str:
    """Formats a value of a finding's table: floats with three significant digits, "" for missing values."""
    if pd.isna(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        number = float(value)
        return f"{number:,.0f}" if 1000 <= abs(number) < math.inf else f"{number:.3g}"
    return str(value)

"""Formats settings and numbers for tables, plots and sentences."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from drc_lab.evaluation.measures.table import Row
from drc_lab.evaluation.play.settings import (
    ADAPTIVE,
    CYCLE_NOOPS,
    CYCLE_PASSES,
    DRAWN,
    FIRST_PASSES,
    FIXED,
    NOOPS,
    PASSES_AT,
    REPEATS,
)
from drc_lab.evaluation.stats.intervals import Interval

BASELINE = "baseline"


@dataclass(frozen=True)
class Kind:
    """A kind of thinking in words.

    Args:
        short: for a narrow column.
        axis: what its amounts count, as the label of an axis.
        sentence: phrase for a sentence, with ``{}`` for the amount.
        one: the same for an amount of 1, if it reads differently.
    """

    short: str
    axis: str
    sentence: str
    one: str | None = None


KINDS = {
    FIRST_PASSES: Kind("first passes", "extra passes on the first observation", "{} extra passes at the start",
                       "1 extra pass at the start"),
    NOOPS: Kind("no-ops", "no-op steps at the start", "{} no-op steps at the start", "1 no-op step at the start"),
    REPEATS: Kind("ticks", "ticks at every step", "{} ticks at every step", "1 tick at every step"),
    CYCLE_PASSES: Kind("cycle passes", "passes in cycles, × their length",
                       "extra passes in cycles, {} times their length", "extra passes in cycles, as long as they are"),
    CYCLE_NOOPS: Kind("cycle no-ops", "no-ops in cycles, × their length", "no-ops in cycles, {} times their length",
                      "no-ops in cycles, as long as they are"),
    ADAPTIVE: Kind("adaptive", "until ticks agree within (nats)", "thinking until ticks agree within {} nats"),
    FIXED: Kind("fixed passes", "extra passes on the first observation, never thinking by itself",
                "told to think {} passes at the start, and never by itself",
                "told to think 1 pass at the start, and never by itself"),
    DRAWN: Kind("drawn passes", "passes drawn before every step, × the policy's own",
                "told to think by lot before every step, {} times as often as by itself",
                "told to think by lot before every step, as often as by itself"),
    "never_thinks": Kind("never thinks", "", "the policy without its choice to think"),
    "random": Kind("random policy", "", "a random policy"),
    "sampled": Kind("sampled", "", "its own actions, sampled"),
    "distance": Kind("distance", "", "the move that brings it nearest, one step ahead"),
    "no_memory": Kind("no memory", "", "the policy with its memory wiped before every step"),
    "no_memory_passes": Kind("no memory, passes", "", "the same after {} extra passes at the start"),
}  # fmt: skip


def kind_words(kind: str) -> Kind:
    """The words for any kind, including kinds that are not in KINDS."""
    if kind.startswith(f"{PASSES_AT}_"):
        step = kind.removeprefix(f"{PASSES_AT}_")
        return Kind(f"passes at {step}", f"extra passes before step {step}", f"{{}} extra passes before step {step}",
                    f"1 extra pass before step {step}")  # fmt: skip
    return KINDS.get(kind, Kind(kind, kind, f"{kind}={{}}"))


def amount(row: Row) -> str:
    """A setting's amount of thinking; "" for controls, which have none."""
    return "" if row.is_control else f"{row.amount:g}"


def described(kind: str, size: float) -> str:
    """A phrase for a setting, for use in a sentence."""
    words = kind_words(kind)
    if size == 1 and words.one is not None:
        return words.one
    return words.sentence.replace("{}", f"{size:g}")


def player(row: Row, thinking: bool = True) -> str:
    """Name of the player, for a narrow column; in a table without settings of thinking, the policy is "baseline"."""
    return kind_words(row.kind).short if thinking or row.is_control else BASELINE


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
    return (percent if row.measure.is_rate else number)(row.value, Interval(row.low, row.high))


def mean(row: Row) -> str:
    """The same without the interval, for tables with many numbers."""
    return f"{100 * row.value:.0f}" if row.measure.is_rate else f"{row.value:.3g}"


def gain(row: Row) -> str:
    """The difference from the baseline policy, in points or of return, with its paired interval."""
    shown = percent if row.measure.is_rate else number
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

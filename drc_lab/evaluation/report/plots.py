"""The panels of a sweep: solve rate or return against each kind of thinking, and by optimal length."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from drc_lab.evaluation.kinds.registry import kind_named
from drc_lab.evaluation.measures.table import Row
from drc_lab.evaluation.report.summary import by_policy
from drc_lab.evaluation.report.words import amount, player

# Okabe and Ito's colours, which colour-blind people can tell apart too: https://jfly.uni-koeln.de/color/
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#777777")  # fmt: skip
COLOURS = (VERMILION, GREEN, ORANGE, PURPLE, SKY, BLUE)
DASHES = ("--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
DOUBLING = 8  # an axis is logarithmic if its largest amount is more than this many times the smallest


@dataclass(frozen=True)
class Panel:
    """One set of axes in a picture.

    Args:
        title: what it shows.
        draw: draws it, including labels.
        wide: whether it takes up a whole row.
    """

    title: str
    draw: Callable[[Axes], None]
    wide: bool = False


def panels(rows: Sequence[Row]) -> list[Panel]:
    """The panels of a sweep, with a line for each policy.

    Args:
        rows: from `drc_lab.evaluation.measures.table.table`; those of the baseline policy come first.
    """
    means = rows[0].criterion.means.capitalize()
    if any(row.is_thinking for row in rows):
        shown = [
            Panel(f"{means}: {label}", partial(_kinds, rows, label, kinds)) for label, kinds in _panels(rows).items()
        ]
    else:
        shown = [Panel(f"{means} of all players", partial(_players, rows))]
    if any(row.optimal not in ("all", "unknown") for row in rows):
        shown.append(Panel(f"{means} by optimal length", partial(_by_length, rows), wide=True))
    return shown


def _kinds(rows: Sequence[Row], label: str, kinds: Sequence[str], axis: Axes) -> None:
    """Draws kinds of thinking whose amounts have the same unit, against the amount."""
    policies = by_policy(rows)
    for color, of_policy in zip(_shades(len(policies)), policies, strict=True):
        _against_amount(axis, kinds, [row for row in of_policy if row.optimal == "all"], color, len(policies) == 1)
    axis.set(xlabel=label, ylabel=rows[0].criterion.column)
    _style(axis, rows)


def _players(rows: Sequence[Row], axis: Axes) -> None:
    """Draws the score of each player, for an evaluation without settings of thinking."""
    overall = [row for row in rows if row.optimal == "all"]
    for place, row in enumerate(overall):
        color = COLOURS[(place - 1) % len(COLOURS)] if row.is_control else "black"  # the same colours as by length
        axis.errorbar([place], [row.value], yerr=_spread([row]), color=color, marker="o", capsize=4)
    axis.set_xticks(
        range(len(overall)), [player(row, thinking=False).replace(" policy", "\npolicy") for row in overall]
    )
    axis.set(ylabel=rows[0].criterion.column, xlim=(-0.5, len(overall) - 0.5))
    _style(axis, rows)


def _by_length(rows: Sequence[Row], axis: Axes) -> None:
    """Draws scores by the length of an optimal solution."""
    policies = by_policy(rows)
    if len(policies) == 1:
        _one_by_length(axis, rows)
    else:
        _each_by_length(axis, policies)


def _panels(rows: Sequence[Row]) -> dict[str, list[str]]:
    """The kinds of thinking in each panel, by the label of its x-axis."""
    by_axis: dict[str, list[str]] = {}
    kinds = [kind_named(label) for label in dict.fromkeys(row.kind for row in rows)]
    for kind in sorted(kinds, key=lambda kind: kind.follows_baseline):  # those that follow it come last
        if kind.adds_thinking:
            by_axis.setdefault(kind.words.axis, []).append(kind.label)
    return by_axis


def _shades(number: int) -> list[tuple[float, ...] | str]:
    """Colours of policies, from dark to light in the order of checkpoints; all are visible on black and on white."""
    return [BLUE] if number == 1 else [colormaps["cividis"](0.3 + 0.6 * i / (number - 1)) for i in range(number)]


def _name(row: Row) -> str:
    """Name of the policy of a row, for a legend."""
    return f"{row.checkpoint}, seed {row.seed}" if row.checkpoint else "baseline policy"


def _against_amount(axis: Axes, kinds: Sequence[str], overall: Sequence[Row], color: Any, alone: bool) -> None:
    """Draws one policy's means with intervals; if it is alone, also the baseline policy and the controls, as lines."""
    base = overall[0]
    if alone:
        axis.axhline(base.value, color=GREY, linewidth=1, label="baseline policy")
        axis.axhspan(base.low, base.high, color=GREY, alpha=0.12, linewidth=0)
        for number, row in enumerate(row for row in overall if row.is_control):
            axis.axhline(row.value, **_as_control(number, row))
    for number, kind in enumerate(kinds):
        line = [row for row in overall if row.kind == kind]
        if kind_named(kind).less_is_more:
            line.sort(key=lambda row: -row.amount)
            places: list[float] = [float(i) for i in range(len(line))]
            axis.set_xticks(places, [amount(row) for row in line])
            axis.set_xlim(-0.5, len(line) - 0.5)
        else:
            places = [row.amount for row in line]
            _scale(axis, places)
        shift = 0.04 * (max(places) - min(places) or 4) * (number - (len(kinds) - 1) / 2)
        label = kind_named(kind).words.short if alone and len(kinds) > 1 else "with thinking" if alone else _name(base)
        own_color = PURPLE if number and alone else color
        axis.errorbar(
            [place + shift for place in places],
            [row.value for row in line],
            yerr=_spread(line),
            marker="os"[number],
            color=own_color,
            markersize=5,
            linewidth=1.6,
            capsize=3,
            label=label if not number or alone else None,
        )
    if alone and len(kinds) > 1:
        handles, names = axis.get_legend_handles_labels()
        axis.legend(handles[-len(kinds) :], names[-len(kinds) :], fontsize="small", loc="best")


def _as_control(number: int, row: Row) -> dict[str, Any]:
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": DASHES[number % len(DASHES)],
        "linewidth": 1.4,
        "label": kind_named(row.kind).words.short,
    }


def _scale(axis: Axes, amounts: Sequence[float]) -> None:
    smallest = min((x for x in amounts if x > 0), default=1)
    if max(amounts) > DOUBLING * smallest and smallest >= 1 and len(amounts) < max(amounts) / 2:
        axis.set_xscale("symlog", base=2, linthresh=smallest)
        axis.set_xticks(amounts, [f"{x:g}" for x in amounts])
        axis.minorticks_off()
    elif len(set(amounts)) == 1:
        axis.set_xticks(list(set(amounts)), [f"{amounts[0]:g}"])
        axis.set_xlim(amounts[0] - 1, amounts[0] + 1)
    else:
        axis.xaxis.set_major_locator(MaxNLocator(integer=all(x == int(x) for x in amounts)))


def _one_by_length(axis: Axes, rows: Sequence[Row]) -> None:
    """Draws the baseline policy, the best setting of each kind of thinking, and the controls."""
    overall = [row for row in rows if row.optimal == "all"]
    best: dict[str, Row] = {}
    for row in overall:
        if row.is_thinking and (row.kind not in best or row.value > best[row.kind].value):
            best[row.kind] = row
    names = _length_axis(axis, rows)
    for number, row in enumerate(row for row in overall if row.is_control):
        axis.plot(*_rates(rows, row, names), **_as_control(number, row))
    for number, row in enumerate(best.values()):
        axis.plot(
            *_rates(rows, row, names),
            color=BLUE,
            alpha=0.55,
            marker="sD^vP*Xh"[number % 8],
            markersize=5,
            linewidth=1,
            label=f"{kind_named(row.kind).words.short}: {row.amount:g}",
        )
    line = _of_setting(rows, overall[0], names)
    axis.errorbar(
        *_rates(rows, overall[0], names),
        yerr=_spread(line),
        color="black",
        marker="o",
        markersize=5,
        linewidth=1.8,
        capsize=3,
        label="baseline policy",
    )
    axis.set_title("by optimal length" + "; of each kind of thinking the best amount" * bool(best), fontsize="medium")
    axis.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def _each_by_length(axis: Axes, policies: Sequence[Sequence[Row]]) -> None:
    """Draws the baseline policy of each checkpoint."""
    names = _length_axis(axis, policies[0])
    for color, of_policy in zip(_shades(len(policies)), policies, strict=True):
        axis.plot(*_rates(of_policy, of_policy[0], names), color=color, marker="o", label=_name(of_policy[0]))
    axis.set_title("by optimal length, each baseline policy", fontsize="medium")


def _length_axis(axis: Axes, rows: Sequence[Row]) -> list[str]:
    """Sets up an x-axis of groups of levels by optimal length; returns their names in order."""
    counts = {row.optimal: row.levels for row in rows if row.optimal not in ("all", "unknown")}
    labels = [f"{name}\n{count:,} level{'s' * (count != 1)}" for name, count in counts.items()]
    axis.set_xticks(range(len(counts)), labels)
    axis.set(xlabel="moves of an optimal solution", ylabel=rows[0].criterion.column)
    _style(axis, rows)
    return list(counts)


def _of_setting(rows: Sequence[Row], setting: Row, names: Sequence[str]) -> list[Row]:
    return [row for row in rows if (row.kind, row.amount) == (setting.kind, setting.amount) and row.optimal in names]


def _rates(rows: Sequence[Row], setting: Row, names: Sequence[str]) -> tuple[list[int], list[float]]:
    """The line of a setting: positions on the x-axis, and solve rates or returns."""
    line = _of_setting(rows, setting, names)
    return [names.index(row.optimal) for row in line], [row.value for row in line]


def _style(axis: Axes, rows: Sequence[Row]) -> None:
    if rows[0].criterion.is_rate:
        axis.set_ylim(-0.02, 1.02)
        axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.grid(axis="y", alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _spread(line: Sequence[Row]) -> list[list[float]]:
    return [[row.value - row.low for row in line], [row.high - row.value for row in line]]

"""The sweep's picture: solve rate against each kind of thinking, and by the length of an optimal solution."""

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from drc_lab.evaluation.report.words import amount, is_control, kind_words
from drc_lab.evaluation.table import Row
from drc_lab.evaluation.thinking import ADAPTIVE, CYCLE_NOOPS, CYCLE_PASSES

# Okabe and Ito's colours, which people tell apart whatever their eyes: https://jfly.uni-koeln.de/color/
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#777777")  # fmt: skip
COLOURS = (VERMILION, GREEN, ORANGE, PURPLE, SKY, BLUE)
DASHES = ("--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
IN_A_ROW = 3
WIDTH, HEIGHT = 4.2, 3.4  # of a panel, in inches
DPI = 120
DOUBLING = 8  # an axis whose last amount is more than so many times the first one is logarithmic


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draws it.

    Args:
        rows: of `drc_lab.evaluation.table.table`; those of the policy as it is come first.
        path: of a PNG.
    """
    overall = [row for row in rows if row.optimal == "all"]
    panels = _kinds(overall)
    across = min(IN_A_ROW, max(2, len(panels)))
    down = -(-len(panels) // across)
    by_length = any(row.optimal not in ("all", "unknown") for row in rows)
    figure = Figure(figsize=(WIDTH * across, HEIGHT * (down + by_length)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(down + by_length, across)
    first: Axes | None = None
    for place, (label, kinds) in enumerate(panels.items()):
        axis = figure.add_subplot(grid[divmod(place, across)], sharey=first)
        first = first or axis
        _against_amount(axis, label, kinds, overall)
        axis.tick_params(labelleft=place % across == 0)
        if place % across == 0:
            axis.set_ylabel("solved")
    assert first is not None
    handles, labels = first.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(5, len(labels)), frameon=False)
    if by_length:
        _by_length(figure.add_subplot(grid[down, :]), rows)
    figure.savefig(path, dpi=DPI)


def finding_png(draw: Callable[[Axes], None]) -> bytes:
    """A finding's picture."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    draw(axis)
    axis.spines[["top", "right"]].set_visible(False)
    file = BytesIO()
    figure.savefig(file, dpi=DPI, format="png")
    return file.getvalue()


def _kinds(overall: Sequence[Row]) -> dict[str, list[str]]:
    """The panels: their label, and the kinds in them. Without any thinking one that compares the players."""
    kinds = [kind for kind in dict.fromkeys(row.kind for row in overall) if not is_control(kind)]
    if all(sum(row.kind == kind for row in overall) == 1 for kind in kinds) and len(kinds) == 1:
        return {"": kinds}
    cycles = [kind for kind in kinds if kind in (CYCLE_PASSES, CYCLE_NOOPS)]
    panels = {kind_words(kind).axis: [kind] for kind in kinds if kind not in cycles}
    return panels | ({"thinking in cycles, × their length": cycles} if cycles else {})


def _against_amount(axis: Axes, label: str, kinds: Sequence[str], overall: Sequence[Row]) -> None:
    base = overall[0]
    axis.axhline(base.solve_rate, color=GREY, linewidth=1, label="policy as it is")
    axis.axhspan(base.low, base.high, color=GREY, alpha=0.12, linewidth=0)
    for number, row in enumerate(row for row in overall if is_control(row.kind)):
        axis.axhline(row.solve_rate, color=COLOURS[number % len(COLOURS)], linestyle=DASHES[number % len(DASHES)],
                     linewidth=1.4, label=kind_words(row.kind).short)  # fmt: skip
    for number, kind in enumerate(kinds):
        line = [row for row in overall if row.kind == kind]
        if kind == ADAPTIVE:  # the less they have to differ, the more it thinks
            line.sort(key=lambda row: -row.amount)
            places: list[float] = [float(i) for i in range(len(line))]
            axis.set_xticks(places, [amount(row) for row in line])
            axis.set_xlim(-0.5, len(line) - 0.5)
        else:
            places = [row.amount for row in line]
            _scale(axis, places)
        shift = 0.02 * (max(places) - min(places) or 1) * (number - (len(kinds) - 1) / 2)
        axis.errorbar(
            [place + shift for place in places], [row.solve_rate for row in line], yerr=_spread(line), marker="os"[number],
            color=(BLUE, PURPLE)[number], markersize=5, linewidth=1.6, capsize=3,
            label=kind_words(kind).short if len(kinds) > 1 else None,
        )  # fmt: skip
    if len(kinds) > 1:
        own, names = axis.get_legend_handles_labels()
        axis.legend(own[-len(kinds) :], names[-len(kinds) :], fontsize="small", loc="best")
    axis.set_xlabel(label)
    if not label:
        axis.set_xticks([])
    _style(axis)


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


def _by_length(axis: Axes, rows: Sequence[Row]) -> None:
    """The policy as it is, the best setting of each kind, and the controls."""
    overall, names = [row for row in rows if row.optimal == "all"], []
    names = [row.optimal for row in rows if row.optimal not in ("all", "unknown")]
    names = list(dict.fromkeys(names))
    base = overall[0]
    best: dict[str, Row] = {}
    for row in overall[1:]:
        if row.difference and (row.kind not in best or row.solve_rate > best[row.kind].solve_rate):
            best[row.kind] = row
    controls = [row for row in overall[1:] if is_control(row.kind)]
    thinking = [row for kind, row in best.items() if not is_control(kind)]
    counts = {row.optimal: row.levels for row in rows}

    def line(row: Row) -> list[Row | None]:
        found = {r.optimal: r for r in rows if (r.kind, r.amount) == (row.kind, row.amount)}
        return [found.get(name) for name in names]

    places = range(len(names))
    for number, row in enumerate(controls):
        rates = [r.solve_rate if r else float("nan") for r in line(row)]
        axis.plot(places, rates, color=COLOURS[number % len(COLOURS)], linestyle=DASHES[number % len(DASHES)],
                  linewidth=1.4, label=kind_words(row.kind).short)  # fmt: skip
    for number, row in enumerate(thinking):
        rates = [r.solve_rate if r else float("nan") for r in line(row)]
        axis.plot(places, rates, color=BLUE, alpha=0.55, marker="sD^vP*Xh"[number % 8], markersize=5, linewidth=1,
                  label=f"{kind_words(row.kind).short}: {row.amount:g}")  # fmt: skip
    plain = [r for r in line(base) if r]
    axis.errorbar([names.index(r.optimal) for r in plain], [r.solve_rate for r in plain], yerr=_spread(plain),
                  color="black", marker="o", markersize=5, linewidth=1.8, capsize=3, label="policy as it is")  # fmt: skip
    axis.set_xticks(places, [f"{name}\n{counts[name]:,} level{'s' * (counts[name] != 1)}" for name in names])
    axis.set(xlabel="moves of an optimal solution", ylabel="solved")
    axis.set_title("by difficulty; of each kind of thinking the amount that solves most", fontsize="medium")
    axis.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    _style(axis)


def _style(axis: Axes) -> None:
    axis.set_ylim(-0.02, 1.02)
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axis.grid(axis="y", alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _spread(line: Sequence[Row]) -> list[list[float]]:
    return [[row.solve_rate - row.low for row in line], [row.high - row.solve_rate for row in line]]

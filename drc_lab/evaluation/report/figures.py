"""Renders drawings as PNG files, and as SVG for a page, legible on small screens and in dark mode."""

import re
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from textwrap import wrap
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text

from drc_lab.errors import printable, printable_lines
from drc_lab.evaluation.measures.table import Row
from drc_lab.evaluation.report.plots import BLUE, panels

IN_A_ROW = 3  # panels, at most
WIDTH, HEIGHT = 4.2, 3.4  # of a panel, in inches
DPI = 120
# Of a picture on a page, in inches: at 72 pixels per inch about as wide as a small screen, so that it need not shrink.
PAGE_WIDTH, PAGE_HEIGHT, LEGEND_LINE, TEXT_LINE = 4.4, 3.1, 0.2, 0.17
LETTERS = 50  # per line of a title or label
INK = "#010203"  # placeholder for the page's text colour, which may be dark or light
PLAIN: Any = {"text.parse_math": False}  # a dollar sign in a name begins no formula
STYLE: Any = {
    **PLAIN,
    "svg.fonttype": "none", "font.size": 11, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK,
    "axes.titlecolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.facecolor": "none",
    "figure.facecolor": "none", "savefig.facecolor": "none", "legend.facecolor": "none", "legend.frameon": False,
}  # fmt: skip
COLOURS = {INK: "var(--ink)", "#000000": "var(--ink)", BLUE.lower(): "var(--accent)", "#ffffff": "var(--paper)"}
KEPT = ("clipPath", "path", "image", "linearGradient")  # elements whose ids are referred to by others


@rc_context(PLAIN)
def plot(rows: Sequence[Row], path: Path) -> None:
    """Draws all panels of a sweep into one PNG, with a line for each policy; all but the wide ones share their y-axis.

    Args:
        rows: from `drc_lab.evaluation.measures.table.table`; those of the baseline policy come first.
        path: of the picture.
    """
    shown = panels(rows)
    small, wide = ([panel for panel in shown if panel.wide == is_wide] for is_wide in (False, True))
    across = min(IN_A_ROW, max(2, len(small)))
    down = -(-len(small) // across)
    figure = Figure(figsize=(WIDTH * across, HEIGHT * (down + len(wide))), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(down + len(wide), across)
    first: Axes | None = None
    for place, panel in enumerate(small):
        axis = figure.add_subplot(grid[divmod(place, across)], sharey=first)
        first = first or axis
        panel.draw(axis)
        axis.tick_params(labelleft=place % across == 0)
        axis.set_ylabel(axis.get_ylabel() if place % across == 0 else "")
    if first is not None and (named := first.get_legend_handles_labels())[0]:
        figure.legend(*named, loc="outside upper center", ncols=min(5, len(named[1])), frameon=False)
    for row, panel in enumerate(wide, down):
        panel.draw(figure.add_subplot(grid[row, :]))
    _show_names(figure)
    figure.savefig(path, dpi=DPI)


@rc_context(PLAIN)
def draw_finding(draw: Callable[[Axes], None], path: Path) -> None:
    """Draws a finding's picture into a PNG."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    draw(axis)
    axis.spines[["top", "right"]].set_visible(False)
    _show_names(figure)
    figure.savefig(path, dpi=DPI)


def _show_names(figure: Figure) -> None:
    """Shows what is in names and has no glyph, such as escape sequences, as Python writes it."""
    for text in figure.findobj(Text):
        if (shown := printable_lines(text.get_text())) != text.get_text():
            text.set_text(shown)
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        labels = [label.get_text() for label in axis.get_ticklabels()]  # they are set anew when the figure is drawn
        if (names := [*map(printable_lines, labels)]) != labels:
            axis.set_ticks(axis.get_ticklocs(), names)


def panels_as_svg(rows: Sequence[Row]) -> list[Markup]:
    """Each panel of a sweep as a separate SVG picture with its own legend."""
    return [as_svg(panel.draw, panel.title) for panel in panels(rows)]


def as_svg(draw: Callable[[Axes], None], title: str) -> Markup:
    """Renders a drawing as an <svg> element, with its legend below.

    The page has to define the CSS variables ``--ink``, ``--accent`` and ``--paper``.

    Args:
        draw: draws it.
        title: label for screen readers; must be unique on the page.
    """
    with rc_context({**STYLE, "svg.hashsalt": title}), StringIO() as file:
        figure = Figure(layout="constrained")
        FigureCanvasSVG(figure)
        axis = figure.subplots()
        draw(axis)
        axis.spines[["top", "right"]].set_visible(False)
        lines = _fit(axis)
        extra = LEGEND_LINE * _legend_below(figure, axis) + TEXT_LINE * lines
        height = max(PAGE_HEIGHT, TEXT_LINE * len(axis.get_yticklabels()))
        figure.set_size_inches(PAGE_WIDTH, height + extra)
        _show_names(figure)
        figure.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
        return _for_page(file.getvalue(), title)


def _fit(axis: Axes) -> int:
    """Wraps a long title and x-label; returns the number of additional lines."""
    more = 0
    for text in (axis.title, axis.xaxis.label):
        broken = [part for line in text.get_text().splitlines() for part in wrap(line, LETTERS)]
        text.set_text("\n".join(broken))
        more += max(0, len(broken) - 1)
    return more


def _legend_below(figure: Figure, axis: Axes) -> int:
    """Moves the legend below the drawing, or adds one there if artists have labels; returns its number of lines."""
    handles, labels = axis.get_legend_handles_labels()
    if (old := axis.get_legend()) is not None:
        its_labels = [text.get_text() for text in old.get_texts()]
        if not set(its_labels) <= set(labels):
            handles, labels = [handle for handle in old.legend_handles if handle], its_labels
        old.remove()
    if not labels:
        return 0
    across = 2 if max(map(len, labels)) <= LETTERS // 2 else 1
    figure.legend(handles, labels, loc="outside lower center", ncols=across, fontsize="small")
    return -(-len(labels) // across)


def _for_page(svg: str, title: str) -> Markup:
    """Reduces an SVG file to its <svg> element, with the page's colours and font, and only the ids that are needed."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(rf'<(?!(?:{"|".join(KEPT)})\b)(\w+) id="[^"]*"', r"<\1", svg)
    svg = svg.replace("xlink:href", "href")
    begin = re.search(r'viewBox="[^"]*"', svg)
    assert begin is not None
    svg = Markup('<svg role="img" aria-label="{}" ').format(printable(title)) + Markup(begin[0] + svg[svg.index(">") :])
    for stands_for, colour in COLOURS.items():
        svg = svg.replace(stands_for, colour)
    return Markup(re.sub(r"(font: [^'\";<]*?px) [^;\"<]*", r"\1 system-ui, sans-serif", svg))

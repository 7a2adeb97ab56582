"""Tables that fit the terminal: names are wrapped, unimportant columns left out, or each row becomes a block."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from drc_lab.errors import printable

NARROWEST = 24  # least width of a wrapped name, in characters
MOST_LINES = 3  # most lines of a wrapped name, so that it can be read at a glance
GAP = 2  # characters between two columns
INDENT = 2  # of the values in a block, below its row's names
BETWEEN = "   "  # separates two values in a block


@dataclass(frozen=True)
class Column:
    """A column.

    Args:
        title: title of the column.
        words: whether it has words, which are aligned left; numbers are aligned right.
        name: whether it identifies the row. Such a column is wrapped if it is too wide, and never left out.
        rank: columns of rank 0 are never left out; of the others, those with the highest rank are left out first.
    """

    title: str
    words: bool = False
    name: bool = False
    rank: int = 0


class FittedTable:
    """A table for a rich console of any width. Values are never truncated, and the user is told what is left out.

    If the table is too wide, titles are broken at spaces and names are wrapped. If that is not enough, columns are left
    out by rank, and a line below says which ones and where to find them. If the columns of rank 0 do not fit either,
    every row becomes a block: its names, and below them all its values with their titles.

    Args:
        title: shown above the table.
        columns: the columns, at least one of which is a name.
        file: name of the file that has every column; if None, all columns must have rank 0.
        caption: shown below the table.
    """

    def __init__(self, title: str, columns: Sequence[Column], file: str | None = None, caption: str = ""):
        assert file is not None or not any(column.rank for column in columns), "left out, and nowhere to be found"
        assert any(column.name for column in columns)
        self.title, self.columns, self.file, self.caption = title, list(columns), file, caption
        self._rows: list[tuple[tuple[str, ...], bool, bool]] = []

    def add(self, *cells: str, dim: bool = False, last: bool = False) -> None:
        """Adds a row; ``dim`` dims it, and ``last`` draws a line after it, as the last row of a section."""
        assert len(cells) == len(self.columns)
        self._rows.append((tuple(printable(cell) for cell in cells), dim, last))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(self.title, style="bold")
        layout = self._layout(options.max_width)
        if layout is None:
            yield from self._blocks(options.max_width)
        else:
            yield self._grid(layout)
            if left := [column.title for i, column in enumerate(self.columns) if i not in layout]:
                count = f"{len(left)} column{'s' * (len(left) > 1)}"
                yield Text(f"{count} left out, in {self.file}: {', '.join(left)}", style="dim")
        if self.caption:
            yield Text(self.caption, style="dim")

    def _layout(self, width: int) -> dict[int, int] | None:
        """The widths of the columns that are shown, by their numbers; None if those of rank 0 do not fit."""
        shown = list(range(len(self.columns)))
        optional = [i for i in shown if self.columns[i].rank and not self.columns[i].name]
        optional.sort(key=lambda i: (self.columns[i].rank, i))
        while (widths := self._widths(shown, width - GAP * (len(shown) - 1))) is None:
            if not optional:
                return None
            shown.remove(optional.pop())
        return dict(zip(shown, widths, strict=True))

    def _widths(self, shown: Sequence[int], room: int) -> list[int] | None:
        """Widths with which these columns fit into ``room`` characters; None if they do not fit."""
        values = [max((cell_len(cells[i]) for cells, _, _ in self._rows), default=0) for i in shown]
        titles = [self.columns[i].title for i in shown]
        widths = [max(value, cell_len(title)) for value, title in zip(values, titles, strict=True)]
        least = [max(value, *map(cell_len, title.split())) for value, title in zip(values, titles, strict=True)]
        while sum(widths) > room and widths != least:
            widths[max(range(len(shown)), key=lambda place: widths[place] - least[place])] -= 1
        names = [place for place, i in enumerate(shown) if self.columns[i].name]
        while sum(widths) > room:
            widest = max(names, key=lambda place: widths[place])
            if widths[widest] <= max(NARROWEST, -(-values[widest] // MOST_LINES)):
                return None
            widths[widest] -= 1
        return widths

    def _grid(self, layout: dict[int, int]) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, GAP - 1, 0, 0), pad_edge=False)
        for i, width in layout.items():
            column = self.columns[i]
            title = "\n".join(textwrap.wrap(column.title, width, break_on_hyphens=False))
            table.add_column(
                Text(title),
                justify="left" if column.words else "right",
                width=width,
                overflow="fold",
                no_wrap=not column.name,
            )
        for cells, dim, last in self._rows:
            table.add_row(*(Text(cells[i]) for i in layout), style="dim" if dim else "", end_section=last)
        return table

    def _blocks(self, width: int) -> Iterator[RenderableType]:
        """All rows as blocks, with all their values except empty ones."""
        for cells, dim, _ in self._rows:
            names: list[str] = []
            values: list[str] = []
            for column, value in zip(self.columns, cells, strict=True):
                if value:
                    said = value if column.name and column.words else f"{column.title}: {value}"
                    (names if column.name else values).append(said)
            yield Text(BETWEEN.join(names), style="dim" if dim else "bold")
            for line in _filled(values, width - INDENT):
                yield Padding(Text(line, style="dim" if dim else ""), (0, 0, 0, INDENT), expand=False)


def table_of(
    title: str,
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    file: str | None,
    caption: str = "",
    words: Sequence[bool] | None = None,
) -> FittedTable:
    """Makes a table whose columns are in descending order of importance.

    The leftmost columns are names, as many as are needed to tell the rows apart. The column after them is never left
    out either.

    Args:
        title, file, caption: see `FittedTable`; without a file no column is left out.
        titles: titles of the columns.
        rows: the cells of each row.
        words: which columns have words; None is only the first.
    """
    names = names_of(rows)
    words = [i == 0 for i in range(len(titles))] if words is None else words
    ranks = [max(0, i - names) if file is not None else 0 for i in range(len(titles))]
    columns = [Column(title, words[i], i < names, ranks[i]) for i, title in enumerate(titles)]
    table = FittedTable(title, columns, file, caption)
    for row in rows:
        table.add(*row)
    return table


def names_of(rows: Sequence[Sequence[str]]) -> int:
    """How many columns from the left are needed to tell all rows apart; 1 if not even all of them are enough."""
    for count in range(1, len(rows[0]) if rows else 1):
        if len({tuple(row[:count]) for row in rows}) == len(rows):
            return count
    return 1


def _filled(values: Sequence[str], width: int) -> list[str]:
    """Lines with as many values as fit; a value is broken only if it is longer than a line."""
    lines: list[str] = []
    for value in values:
        if lines and cell_len(lines[-1]) + len(BETWEEN) + cell_len(value) <= width:
            lines[-1] += BETWEEN + value
        else:
            lines.append(value)
    return lines

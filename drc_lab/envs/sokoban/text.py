"""Finds the boards in a text of Sokoban levels (.txt, .xsb, .sok): rows, titles, comments, run-length coding."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from drc_lab.envs.specs.level_files import STANDARD
from drc_lab.errors import UserError

# The .sok format's alternative symbols: - and _ for texts that lose spaces, letters for texts that cannot have $ and *.
ALTERNATES = {"-": " ", "_": " ", "p": "@", "P": "+", "b": "$", "B": "*"}

MEANING = "# wall, space - _ floor, . target, $ box, * box on target, @ player, + player on target"

_PLAIN_ROW = re.compile(r"[#.$*@+pPbB _-]+")
_CODED_ROWS = re.compile(r"[#.$*@+pPbB_0-9()|-]+")  # no spaces: "12 #" is a title
_GROUP = re.compile(r"(\d{0,2})\(([^()]*)\)")
_RUN = re.compile(r"(\d{1,2})([^\d|])")
_TITLE = re.compile(r"title:\s*(.*)", re.IGNORECASE)
_KEY = re.compile(r"[A-Za-z][\w -]*:")
_LONGEST = 10_000  # characters of decoded rows; the largest board has fewer
_FEWEST_ROWS, _MOST_SYMBOLS = 3, 9  # of lines that look like a board in an unknown alphabet


@dataclass
class TextBoard:
    """The rows of one board as they are in a text, the line number of each, and the board's title if it has one."""

    title: str
    rows: list[str] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


def find_boards(
    text: str, source: str, first_line: int = 1, translate: Mapping[int, str] | None = None
) -> list[TextBoard]:
    """The boards of a text in their order, with their titles; comments and properties are left out.

    A board starts with a row that has a wall and ends at a blank line or at text. Inside a board a line that starts
    with a wall is a row whatever else it contains, so that a wrong symbol is reported and does not split the board.

    Args:
        text: of the whole file.
        source: its name, for messages.
        first_line: number of the text's first line.
        translate: see `translation`; applied to rows only.

    Raises:
        UserError: a ``Comment:`` that never ends.
    """
    boards: list[TextBoard] = []
    inside = same_paragraph = False  # in the last board's rows; no blank line since then
    title, comment = "", 0
    for number, raw in enumerate(text.split("\n"), first_line):
        line = raw.strip()
        if comment:
            comment = 0 if line.lower().startswith("comment-end") else comment
        elif not line:
            inside = same_paragraph = False
        elif rows := _rows(raw.rstrip().translate(translate or {}), inside):
            if not inside:
                boards.append(TextBoard(title))
                inside, same_paragraph, title = True, True, ""
            boards[-1].rows += rows
            boards[-1].lines += [number] * len(rows)
        else:
            inside = False
            comment = number if line.lower() == "comment:" else 0
            words = line.lstrip(";':").strip()
            named = _TITLE.match(words)
            if named and same_paragraph:
                boards[-1].title = named[1]
            elif named or not _KEY.match(words):
                title = named[1] if named else words
    if comment:
        raise UserError(f"{source}, line {comment}: found Comment: without Comment-End:")
    return boards


def _rows(line: str, inside: bool) -> list[str]:
    """The rows that a line holds, or an empty list if the line is text."""
    if _PLAIN_ROW.fullmatch(line):
        rows = [line]
    elif _CODED_ROWS.fullmatch(line) and "#" in line and (decoded := _decode(line)):
        rows = decoded
    elif line.lstrip(" _-").startswith("#" if inside else "##"):
        return [line]
    else:
        return []
    return rows if inside or any("#" in row for row in rows) else []


def _decode(line: str) -> list[str]:
    """Decodes rows from run-length code such as ``3#|2(#-)#|3#``; empty if the line is no such code."""
    while group := _GROUP.search(line):
        line = line[: group.start()] + group[2] * int(group[1] or 1) + line[group.end() :]
        if len(line) > _LONGEST:
            return []
    if len(line) > _LONGEST:
        return []
    line = _RUN.sub(lambda run: run[2] * int(run[1]), line)
    return line.rstrip("|").split("|") if not re.search(r"[0-9()]", line) else []


def foreign_symbols(text: str, translate: Mapping[int, str]) -> str:
    """Describes the unknown symbols in lines that look like boards; empty if there are none.

    Lines look like a board if there are at least _FEWEST_ROWS in a row, with at most _MOST_SYMBOLS symbols among them.
    """
    counts: Counter[str] = Counter()
    first: dict[str, int] = {}
    together: list[tuple[int, str]] = []
    symbols: set[str] = set()  # in those rows
    for number, line in enumerate([*text.split("\n"), ""], 1):
        row = "".join(line.split()).translate(translate)
        if row and len(symbols | set(row)) <= _MOST_SYMBOLS:
            together.append((number, row))
            symbols |= set(row)
            continue
        if len(together) >= _FEWEST_ROWS:
            for place, shown in together:
                for symbol in shown:
                    if symbol not in STANDARD and symbol not in ALTERNATES:
                        counts[symbol] += 1
                        first.setdefault(symbol, place)
        together, symbols = [(number, row)] if row else [], set(row)
    return ", ".join(f"{symbol!r} ({count:,}, first in line {first[symbol]})" for symbol, count in counts.most_common())

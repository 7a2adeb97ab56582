"""The live display of a process: what is being done, how far it is, and how long it takes.

Nothing is shown without a terminal. Light to import: envs, evaluations and tasks report their progress here without
knowing whether it is shown.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.segment import Segment
from rich.text import Text

from drc_lab.errors import printable_lines
from drc_lab.ranks import rank


class _Console(Console):
    """Shows what is in texts, which may be names that come with files, such as escape sequences, and obeys nothing."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable_lines(text), style, control)


console = _Console(quiet=rank() > 0, markup=False, emoji=False)  # only rank 0 of a training prints
QUICK = 1.0  # seconds; tasks that take less get no line
WIDTH = 10  # of a bar, so that a line fits into 80 columns

Item = TypeVar("Item")
Advance = Callable[[float], object]  # called with the amount of work that was done since its last call


def silent(number: float) -> None:
    """An `Advance` for work whose progress is not shown."""


class _Times(ProgressColumn):
    """The share that is done and the time that is left, or the elapsed time if these are unknown."""

    def render(self, task: Task) -> Text:
        left, passed = task.time_remaining, timedelta(seconds=int(task.elapsed or 0))
        share = "" if task.total is None or task.fields["at_once"] else f"{task.percentage:.0f}% "
        known = task.total is not None and left is not None
        return Text(share + (f"{timedelta(seconds=int(left or 0))} left" if known else str(passed)), "progress.elapsed")


class _Lines(Progress):
    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table([task for task in self.tasks if task.fields["at_once"] or self._is_long(task)])

    @staticmethod
    def _is_long(task: Task) -> bool:
        return (task.elapsed or 0) >= QUICK


class Display:
    """Shows a line for each task in progress below the printed output, and disappears when there is none.

    Args:
        console: where the lines are shown.
        clock: returns the time in seconds.

    Attributes:
        seconds_aside: seconds spent on work that does not count as training, such as evaluations.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic):
        self.console, self.clock = console, clock
        self.seconds_aside = 0.0
        self._aside = 0
        self._lines: _Lines | None = None

    @contextmanager
    def line(self, text: str, total: float | None, at_once: bool = False, done: float = 0) -> Iterator["Line"]:
        """Shows a line as long as the context lasts.

        Args:
            text: what is being done.
            total: the total amount of work; None if it is unknown.
            at_once: whether the line is shown immediately; else only once the work takes longer than `QUICK`.
            done: how much of the work is done already.

        Yields:
            the line, to be updated.
        """
        main = threading.current_thread() is threading.main_thread()
        if not main or not self.console.is_terminal or self.console.quiet:
            yield Line()
            return
        if self._lines is None:
            texts = TextColumn("{task.description}", markup=False)
            self._lines = _Lines(
                BarColumn(WIDTH),
                texts,
                _Times(),
                console=self.console,
                transient=True,
                refresh_per_second=4,
                get_time=self.clock,
            )
            self._lines.start()
        lines = self._lines
        task = lines.add_task(text, total=total, completed=int(done), at_once=at_once)
        try:
            yield Line(lines, task)
        finally:
            lines.remove_task(task)
            if not lines.tasks:
                lines.stop()
                self._lines = None

    @contextmanager
    def working(self, what: str, total: float | None = None, aside: bool = False) -> Iterator[Advance]:
        """Shows a line if the context lasts longer than `QUICK`.

        Args:
            what: what is being done.
            total: the total amount of work; None if it is unknown.
            aside: whether the time of this work does not count as training.

        Yields:
            a function to be called with the amount of work done since its last call.
        """
        began, self._aside = self.clock(), self._aside + aside
        try:
            with self.line(what, total) as line:
                yield line.advance
        finally:
            self._aside -= aside
            if aside and not self._aside:
                self.seconds_aside += self.clock() - began


class Line:
    """A line of the display, or, without arguments, one that is not shown."""

    def __init__(self, lines: Progress | None = None, task: Any = None):
        self._lines, self._task = lines, task

    def advance(self, number: float) -> None:
        """Adds to the amount of work that is done."""
        if self._lines is not None:
            self._lines.advance(self._task, number)

    def update(self, **fields: Any) -> None:
        """See `rich.progress.Progress.update`."""
        if self._lines is not None:
            self._lines.update(self._task, **fields)


display = Display(console)
working = display.working


def tracked(items: Collection[Item], what: str) -> Iterator[Item]:
    """Iterates over the items, with a line that shows how many are done."""
    with working(what, len(items)) as advance:
        for item in items:
            yield item
            advance(1)

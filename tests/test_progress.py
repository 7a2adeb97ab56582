"""What takes time is shown where somebody watches, and nowhere else."""

import io
import threading

import pytest
from rich.console import Console

from drc_lab.progress import QUICK, Display


class Watched:
    """A display in a terminal of 80 columns whose time stands still until it is set."""

    def __init__(self, terminal=True):
        self.now, self.file = 0.0, io.StringIO()
        console = Console(force_terminal=terminal, file=self.file, width=80)
        self.display = Display(console, clock=lambda: self.now)

    def seen(self, now):
        """What is there at some time."""
        self.now = now
        self.file.truncate(self.file.seek(0))
        if self.display._lines is not None:
            self.display._lines.refresh()
        return self.file.getvalue()


def test_what_takes_time_says_what_it_is_how_far_and_how_long():
    watched = Watched()
    with watched.display.working("counting sheep", 8) as advance:
        assert "sheep" not in watched.seen(QUICK / 2)
        watched.now = 10.0
        advance(1)
        watched.now = 20.0
        advance(1)
        text = watched.seen(20.0)
        assert "counting sheep" in text and "25%" in text and "left" in text
        with watched.display.working("feeding a dog"):
            assert "dog" not in watched.seen(20 + QUICK / 2)
            text = watched.seen(90.0)
            assert "feeding a dog" in text and "0:01:10" in text and "counting sheep" in text
        assert "dog" not in watched.seen(91.0)
    assert watched.seen(92.0) == ""


@pytest.mark.parametrize("ends", [None, KeyboardInterrupt])
def test_nothing_is_left_of_it(ends):
    watched = Watched()
    try:
        with watched.display.line("training", 10, at_once=True) as outer, watched.display.working("evaluating"):
            outer.update(completed=3)
            if ends:
                raise ends
    except KeyboardInterrupt:
        pass
    assert watched.display._lines is None and watched.seen(9.0) == ""


def test_without_a_terminal_and_in_threads_nothing_is_shown():
    unseen, watched = Watched(terminal=False), Watched()
    with unseen.display.working("counting", 3) as advance:
        advance(1)
        assert unseen.seen(10.0) == ""

    def work():
        with watched.display.working("counting", 3) as advance:
            advance(1)
            watched.now = 10.0
            assert watched.display._lines is None

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert watched.file.getvalue() == ""


def test_time_aside_is_counted_once():
    watched = Watched(terminal=False)
    with watched.display.working("training"):
        watched.now = 5.0
        with watched.display.working("evaluation", aside=True):
            watched.now = 7.0
            with watched.display.working("video", aside=True):
                watched.now = 8.0
        watched.now = 9.0
    assert watched.display.seconds_aside == 3.0

"""Labels of what comes next, made from an episode's end to its beginning."""

import numpy as np

DIRECTIONS = ("up", "down", "left", "right")  # of actions 0 to 3, in both games
NEVER = 0  # the class of what does not happen any more; direction d has class d + 1
NEVER_OR_DIRECTION = ("never", *DIRECTIONS)


def next_event(steps: int, cells: int, events: list[tuple[int, int, int]]) -> np.ndarray:
    """The class of the next event on each cell, int8 [T, P]: an event at step t counts before it and at it.

    Args:
        steps, cells: T, P.
        events: (step, cell, class), by step.
    """
    found = np.zeros((steps, cells), np.int8)
    upcoming = np.full(cells, NEVER, np.int8)
    waiting = list(events)
    for step in reversed(range(steps)):
        while waiting and waiting[-1][0] == step:
            _, cell, kind = waiting.pop()
            upcoming[cell] = kind
        found[step] = upcoming
    return found


def next_only(steps: int, cells: int, events: list[tuple[int, int]]) -> np.ndarray:
    """1 on the cell of the next event alone, int8 [T, P], from (step, cell)."""
    found = np.zeros((steps, cells), np.int8)
    begin = 0
    for step, cell in events:
        found[begin : step + 1, cell] = 1
        begin = step + 1
    return found


def number_left(steps: int, events: list[int]) -> np.ndarray:
    """How many events are still to come before each step or at it, float64 [T]."""
    at = np.bincount(np.array(events, np.int64), minlength=steps)[:steps] if events else np.zeros(steps)
    return np.cumsum(at[::-1])[::-1].astype(np.float64)

"""Labels of the next event in an episode, filled in from the episode's end to its beginning."""

import numpy as np

DIRECTIONS = ("up", "down", "left", "right")  # what actions 0 to 3 mean, in both games
NEVER = 0  # class of an event that does not happen any more; direction d has class d + 1
NEVER_OR_DIRECTION = ("never", *DIRECTIONS)


def next_event(steps: int, cells: int, events: list[tuple[int, int, int]]) -> np.ndarray:
    """Returns the class of the next event on each cell, int8 [T, P]. An event at step t is still the next one at t.

    Args:
        steps, cells: T, P.
        events: (step, cell, class), sorted by step.
    """
    following = np.zeros((steps, cells), np.int8)
    upcoming = np.full(cells, NEVER, np.int8)
    waiting = list(events)
    for step in reversed(range(steps)):
        while waiting and waiting[-1][0] == step:
            _, cell, kind = waiting.pop()
            upcoming[cell] = kind
        following[step] = upcoming
    return following


def next_only(steps: int, cells: int, events: list[tuple[int, int]]) -> np.ndarray:
    """Marks the cell of the next event with 1 and all others with 0, int8 [T, P]; events are (step, cell) by step."""
    following = np.zeros((steps, cells), np.int8)
    begin = 0
    for step, cell in events:
        following[begin : step + 1, cell] = 1
        begin = step + 1
    return following


def number_left(steps: int, events: list[int]) -> np.ndarray:
    """Returns how many events are still to come at each step, those at the step itself included, float64 [T].

    Args:
        steps: T.
        events: the step of each event.
    """
    at = np.bincount(np.array(events, np.int64), minlength=steps)[:steps] if events else np.zeros(steps)
    return np.cumsum(at[::-1])[::-1].astype(np.float64)

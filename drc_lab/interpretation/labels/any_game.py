"""Labels that every game has."""

import numpy as np

from drc_lab.interpretation.episodes import Episode
from drc_lab.interpretation.labels.registry import register_label


@register_label("return_left", text="The undiscounted return of the rest of the episode.")
def return_left(episode: Episode) -> np.ndarray:
    return episode.returns[-1] - episode.returns[:-1]


@register_label(
    "in_cycle",
    classes=("no", "yes"),
    text="Whether the step is part of a cycle: the board comes back to what it was before it.",
)
def in_cycle(episode: Episode) -> np.ndarray:
    """Marks the steps of cycles, which do not overlap and are found as in `drc_lab.evaluation.watchers.cycles`. Waits
    belong to no cycle."""
    states = [
        b"".join(np.ascontiguousarray(board[t]).tobytes() for board in episode.boards.values())
        for t in range(len(episode) + 1)
    ]
    marked, since = np.zeros(len(episode), np.int8), 0
    for end in range(1, len(states)):
        if episode.waits[end - 1]:
            continue
        for start in range(end - 1, since - 1, -1):
            if states[start] == states[end]:
                marked[start:end] = 1
                since = end
                break
    marked[episode.waits] = 0
    return marked

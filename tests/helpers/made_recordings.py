"""Recordings made by hand."""

import numpy as np
import pandas as pd

from drc_lab.interpretation.labels import Label
from drc_lab.interpretation.recording import DECIDES, Recording

CLASSES = ("never", "up", "down", "left", "right")


LABEL = Label("direction", lambda episode: np.empty(0), CLASSES, True, "where it goes")


def made(rng, tensors, levels=40, steps=5):
    """A recording of levels with so many steps each."""
    index = pd.DataFrame(
        {"level": np.repeat(np.arange(levels), steps), "step": np.tile(np.arange(steps), levels), "thought": DECIDES}
    )
    return Recording(index, tensors, {"height": 3, "width": 3})

"""What both passes of the compiled tick loop know of the net, the batch and the ticks."""

from typing import NamedTuple

import numpy as np


class Sizes(NamedTuple):
    """Sizes of the net, the batch and the run.

    height: H; cells: P = H * W, the cells of a board.
    taps: k * k of the gate convolutions.
    channels: C; layers: L; batch: B.
    num_ticks: N, of all steps together.
    kinds: K, kinds of cells for pool-and-inject; injects: whether the net has it.
    save: whether the activations for the backward pass are stored.
    """

    height: int
    cells: int
    taps: int
    channels: int
    layers: int
    batch: int
    num_ticks: int
    kinds: int
    injects: bool
    save: bool


class Schedule(NamedTuple):
    """What each cell, step and layer has to itself.

    kind: int64 [P], the kind of each cell. What is injected is a convolution of a constant map, so that it differs only
        near the border, where taps fall off the board (`drc_lab.models.spatial.tap_kinds`).
    repeats: int64 [T], ticks of each step.
    keep: float32 [N + 1, B], 0 where an episode begins with that tick, else 1.
    below: int64 [L], the layer whose h each layer reads besides its own, -1 for none. For the first layer that is the
        top layer, if the wiring connects them; its h is then that of the tick before.
    """

    kind: np.ndarray
    repeats: np.ndarray
    keep: np.ndarray
    below: np.ndarray

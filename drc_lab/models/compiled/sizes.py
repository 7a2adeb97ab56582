"""What both passes of the compiled tick loop know of the net, the batch and the ticks."""

from typing import NamedTuple

import numpy as np


class Sizes(NamedTuple):
    """Numbers.

    height: H; cells: P = H * W, the cells of a board.
    taps: k * k of the gate convolutions.
    channels: C; layers: L; batch: B.
    ticks: N, of all steps together.
    kinds: K, kinds of cells for pool-and-inject; injects: whether the net has it.
    save: whether the activations for the backward pass are stored.
    """

    height: int
    cells: int
    taps: int
    channels: int
    layers: int
    batch: int
    ticks: int
    kinds: int
    injects: bool
    save: bool


class Ticks(NamedTuple):
    """Arrays.

    kind: int64 [P], the kind of each cell (`drc_lab.models.spatial.tap_kinds`).
    repeats: int64 [T], ticks of each step.
    keep: float32 [N + 1, B], 0 where an episode begins with that tick, else 1.
    below: int64 [L], the layer whose h each layer reads besides its own, or -1; the first layer reads the h of the
        previous tick.
    """

    kind: np.ndarray
    repeats: np.ndarray
    keep: np.ndarray
    below: np.ndarray

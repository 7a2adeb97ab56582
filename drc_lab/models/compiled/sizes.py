"""What both passes of the compiled tick loop know of the net, the batch and the ticks."""

from typing import NamedTuple

import numpy as np

from drc_lab.models.compiled.memory import MapLayout
from drc_lab.numerics import jit


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


@jit
def saved_maps(sizes, maps, group):
    """Where the saved h, c and gates lie, from sample ``group`` on; a tick's gates are with the ticks before it.

    Args:
        maps: with the addresses of hidden, cells [B, L, N + 1, P, C] and gates [B, L, N, P, 4C].
    """
    L, N, layer = sizes.layers, sizes.num_ticks, 4 * sizes.cells * sizes.channels
    sample = L * (N + 1) * layer
    return (
        MapLayout(maps.hidden + group * sample, sample, (N + 1) * layer, layer),
        MapLayout(maps.cells + group * sample, sample, (N + 1) * layer, layer),
        MapLayout(maps.gates + group * L * N * 4 * layer, L * N * 4 * layer, N * 4 * layer, 4 * layer),
    )

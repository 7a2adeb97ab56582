"""How a game is shown that does not draw itself: as its observation, in text or as a picture."""

import gymnasium as gym
import numpy as np

from drc_lab.arguments import fit
from drc_lab.envs.render import COLOURS, FLOOR, mosaic
from drc_lab.pictures import CellSize

MARKS = "0123456789abcdefghijklmnopqrstuvwxyz"  # one for each channel


def picture(observation: np.ndarray, space: gym.spaces.Box, cell_size: int) -> np.ndarray:
    """Paints the channels one over the other, each in a colour of its own and the more opaque the larger its value.

    Args:
        observation: [C, H, W], or [F], which is drawn as a row of cells.
        space: of the observation.
        cell_size: side of a cell, in pixels.

    Returns:
        uint8 [H * cell_size, W * cell_size, 3], RGB.
    """
    fit(CellSize, cell_size, "cell_size")
    shown = np.array(FLOOR, float)
    for channel, share in enumerate(_shares(observation, space)):  # share: (H, W)
        shown = shown + share[..., None] * (np.array(COLOURS[channel % len(COLOURS)]) - shown)  # (H, W, 3)
    H, W = shown.shape[:2]
    cells = np.broadcast_to(shown.round().astype(np.uint8)[:, :, None, None], (H, W, cell_size, cell_size, 3))
    return mosaic(cells)


def text(observation: np.ndarray, space: gym.spaces.Box) -> str:
    """For each cell of [C, H, W] its last channel that is not at its lowest value, or a dot; for [F] the numbers."""
    if observation.ndim == 1:
        return " ".join(f"{number:g}" for number in observation)
    shown = np.full(observation.shape[1:], ".")  # (H, W)
    for channel, share in enumerate(_shares(observation, space)):  # share: (H, W)
        shown[share > 0] = MARKS[channel % len(MARKS)]
    return "\n".join("".join(row) for row in shown)


def _shares(observation: np.ndarray, space: gym.spaces.Box) -> np.ndarray:
    """Values from 0 to 1, [C, H, W]: where they are between the limits of the space, squashed where it has none."""
    values, low, high = (np.asarray(x, float) for x in (observation, space.low, space.high))
    bounded = np.isfinite(low) & np.isfinite(high) & (high > low)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        shares = np.where(bounded, (values - low) / (high - low), 1 / (1 + np.exp(-values)))
    return shares.clip(0, 1).reshape(observation.shape if observation.ndim == 3 else (1, 1, -1))

"""Pictures of many small maps: channels of a state step by step, and the boards that activate a feature most."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.evaluation.measures.finding import Finding
from drc_lab.interpretation.episodes import Episode
from drc_lab.interpretation.recording import Recording

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CELL, GAP = 20, 4  # pixels
SHOWN_STEPS, SHOWN_CHANNELS = 8, 8
FRAME = (214, 39, 140)


def board_picture(env: LevelVectorEnv, episode: Episode, step: int, cell: int = CELL) -> np.ndarray:
    """Draws a recorded board before a step, or at the end for ``step`` T or -1: uint8 [rows, columns, 3]. It overwrites
    the env's first board.

    Raises:
        UserError: no board of the game is like that; a recording may be somebody else's.
    """
    state = {name: each[[step]] for name, each in episode.boards.items()}
    env.batch.check_state(state, 1)
    for name, each in state.items():
        getattr(env.batch, name)[0] = each[0]
    env.batch.observe(np.zeros(1, np.int64))
    return env.batch.picture(0, cell)


def heat(values: np.ndarray, shape: tuple[int, int], cell: int = CELL) -> np.ndarray:
    """Draws a map of values from -1 (blue) over 0 (white) to 1 (red): uint8 [*shape, 3].

    Args:
        values: [H, W].
        shape: size in pixels of the picture of the whole board. If the map lacks the board's border, the border is
            white.
        cell: side of a cell in pixels.
    """
    large = np.kron(np.clip(values, -1, 1), np.ones((cell, cell)))
    missing = np.array(shape) - large.shape
    full = np.pad(large, [(gap // 2, gap - gap // 2) for gap in missing.tolist()])
    paler = 255 * (1 - np.abs(full))
    red, blue = np.where(full >= 0, 255, paler), np.where(full <= 0, 255, paler)
    return np.stack([red, paler, blue], -1).astype(np.uint8)


def framed(picture: np.ndarray, at: tuple[int, int], board: tuple[int, int], cell: int = CELL) -> np.ndarray:
    """Returns a picture with a frame around one cell.

    Args:
        picture: uint8 [rows, columns, 3] of the whole board.
        at: row and column of the cell in the policy's maps.
        board: height and width of the policy's maps, which may lack the board's border.
        cell: side of a cell in pixels.
    """
    new = picture.copy()
    ring = [(pixels - cell * size) // 2 for pixels, size in zip(picture.shape[:2], board, strict=True)]
    top, left = (gap + cell * place for gap, place in zip(ring, at, strict=True))
    inside = new[top : top + cell, left : left + cell]
    inside[:2], inside[-2:], inside[:, :2], inside[:, -2:] = (FRAME,) * 4
    return new


def mosaic(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Arranges pictures of the same size in rows, with white gaps; rows may differ in length."""
    H, W, _ = rows[0][0].shape
    whole = np.full(((H + GAP) * len(rows) - GAP, (W + GAP) * max(map(len, rows)) - GAP, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            whole[y * (H + GAP) : y * (H + GAP) + H, x * (W + GAP) : x * (W + GAP) + W] = picture
    return whole


def show(axis: "Axes", rows: Sequence[Sequence[np.ndarray]], names: Sequence[str]) -> None:
    """Draws a mosaic with a name to the left of each row."""
    axis.imshow(mosaic(rows))
    H = rows[0][0].shape[0]
    axis.set_yticks([y * (H + GAP) + H / 2 for y in range(len(rows))], names, fontsize="xx-small")
    axis.set_xticks([])
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)


def channel_gallery(
    recording: Recording, env: LevelVectorEnv, name: str, weights: np.ndarray, level: int, label: str
) -> Finding:
    """Shows the channels of a state with the largest weights in a probe, over the steps of an episode.

    Args:
        recording: without extra passes.
        env: of the game; its first board is overwritten to draw pictures.
        name: of the state, [rows, C, H, W].
        weights: float32 [C], how much the probe reads from each channel.
        level: of the episode.
        label: that the probe predicts.
    """
    maps = recording.tensor(name)
    chosen = np.argsort(-weights)[:SHOWN_CHANNELS]
    rows = np.flatnonzero((recording.index["level"] == level) & recording.deciding)
    largest = np.maximum(np.abs(maps[rows]).max((0, 2, 3)), 1e-12)
    steps = np.unique(np.linspace(0, len(rows) - 1, min(SHOWN_STEPS, len(rows))).round().astype(int))
    episode = next(each for each in recording.episodes if each.level == level)
    boards = [board_picture(env, episode, step) for step in steps.tolist()]
    shape = boards[0].shape[:2]
    drawn = [[heat(maps[rows[step], c] / largest[c], shape) for step in steps] for c in chosen]
    table = pd.DataFrame(
        {
            "channel": chosen,
            "weight": weights[chosen],
            "mean": maps.mean((0, 2, 3))[chosen],
            "spread": maps.std((0, 2, 3))[chosen],
        }
    )
    said = ", ".join(str(step + 1) for step in steps.tolist())
    text = (
        f"The channels of {name} that the 1x1 probe of {label} has the largest weights for (their norm over classes: "
        f"weight), below the board, on steps {said} of level {level}; red is above 0, blue below, full colour the "
        "channel's largest value in this episode. mean, spread: over all steps and cells of the recording."
    )
    names = ["board", *(f"channel {channel}" for channel in chosen)]
    return Finding(
        "channels",
        "What do its channels hold?",
        text,
        table,
        lambda axis: show(axis, [boards, *drawn], names),
        in_terminal=False,
    )

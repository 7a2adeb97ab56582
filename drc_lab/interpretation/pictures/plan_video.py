"""Videos of episodes with the plan that probes read drawn on the board, tick by tick."""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy.special import softmax

from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.evaluation.pictures.video import caption
from drc_lab.interpretation.pictures.galleries import board_picture
from drc_lab.interpretation.probes.linear import Probe, cell_features
from drc_lab.interpretation.recording import Recording

CELL = 40  # pixels
ARROW, SURE = (214, 39, 140), 0.35  # colour of arrows; least probability of a direction that gets one
HOLD = 3  # frames for which a level's last picture is shown
STEPS = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)])  # rows and columns of up, down, left, right


def plan_frames(
    recording: Recording, env: LevelVectorEnv, probes: Sequence[Probe], names: Sequence[str], levels: Sequence[int]
) -> Iterator[np.ndarray]:
    """Yields frames, uint8 [rows, columns, 3], for each tick of each step of some levels.

    Args:
        recording: without extra passes.
        env: of the game; its first board is overwritten to draw pictures.
        probes: one 1x1 probe for each tick, of a label whose classes are never and the four directions.
        names: the recorded tensor that each probe reads.
        levels: numbers of the levels.
    """
    index, boards = recording.index, {e.level: e for e in recording.episodes}
    for level in levels:
        rows, episode = np.flatnonzero(index["level"] == level), boards[level]
        for step, row in enumerate(rows.tolist()):
            picture = board_picture(env, episode, step, CELL)
            for probe, name in zip(probes, names, strict=True):
                maps = recording.tensor(name)[row : row + 1]  # (1, C, H, W)
                scores = probe.scores(cell_features(maps, 1).reshape(-1, maps.shape[1]))
                directions = softmax(scores, axis=1)[:, 1:].reshape(*maps.shape[2:], 4)
                tick = int(name.split(".")[1]) + 1
                yield caption(_drawn(picture, directions), f"level {level}, step {step + 1}, tick {tick}")
        end = board_picture(env, episode, -1, CELL)
        last = caption(end, f"level {level}: {'solved' if episode.solved else 'not solved'} in {len(episode)}")
        yield from [last] * HOLD


def _drawn(picture: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Draws an arrow in each cell where a direction is probable enough; directions are probabilities, [H, W, 4]."""
    image = Image.fromarray(picture).convert("RGBA")
    over = Image.new("RGBA", image.size)
    draw = ImageDraw.Draw(over)
    H, W, _ = directions.shape
    top, left = (picture.shape[0] - CELL * H) / 2, (picture.shape[1] - CELL * W) / 2  # the border that it does not see
    for row, column in np.argwhere(directions.max(-1) >= SURE):
        direction = int(directions[row, column].argmax())
        alpha = int(255 * directions[row, column, direction])
        _arrow(draw, (left + (column + 0.5) * CELL, top + (row + 0.5) * CELL), STEPS[direction], alpha)
    return np.asarray(Image.alpha_composite(image, over).convert("RGB"))


def _arrow(draw: ImageDraw.ImageDraw, centre: tuple[float, float], step: np.ndarray, alpha: int) -> None:
    x, y = centre
    dy, dx = step * CELL * 0.32
    tip, tail = (x + dx, y + dy), (x - dx, y - dy)
    side = (-dy * 0.5, dx * 0.5)
    draw.line([tail, tip], (*ARROW, alpha), 4)
    back = (x + dx * 0.2, y + dy * 0.2)
    draw.polygon([tip, (back[0] + side[0], back[1] + side[1]), (back[0] - side[0], back[1] - side[1])], (*ARROW, alpha))

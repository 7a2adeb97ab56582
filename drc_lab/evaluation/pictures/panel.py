"""One side of a side-by-side video: the board and, below it, the policy's action probabilities, value and entropy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from drc_lab.envs.render import INK, WHITE, Colour, font

BLUE: Colour = (0, 114, 178)
ORANGE: Colour = (213, 94, 0)
PALE: Colour = (228, 231, 236)
NARROWEST = 260  # width of a panel in pixels, at least
MARGIN, LINE, CURVE = 8, 15, 40  # pixels: margin, height of a line of text, height of a curve
NAME, NUMBER = 62, 44  # pixels: width of an action's name, width of a number


@dataclass(frozen=True)
class Moment:
    """What a panel shows for one pass, or for the end of the episode.

    Args:
        board: a picture.
        says: what happens, as a line of text.
        chances: probabilities of the actions; None at the end of the episode.
        value: the policy's value of the state.
        action: the action taken; None after an extra pass and at the end of the episode.
    """

    board: UInt8[np.ndarray, "H W 3"]
    says: str
    chances: Float[np.ndarray, "A"] | None = None
    value: float = float("nan")
    action: int | None = None

    @property
    def entropy(self) -> float:
        """Entropy of the action probabilities, in nats; nan at the end of the episode."""
        if self.chances is None:
            return float("nan")
        return float(torch.special.entr(torch.from_numpy(self.chances)).sum())


class Panel:
    """Draws the moments of an episode. After its end the last board stays.

    Args:
        title: text above the board.
        moments: of the episode.
        names: of the actions; those beyond the policy's own actions are left out.
    """

    def __init__(self, title: str, moments: Sequence[Moment], names: Sequence[str]):
        self.title, self.moments = title, moments
        thoughts = [moment for moment in moments if moment.chances is not None]
        chances = thoughts[0].chances
        assert chances is not None
        self.names = list(names)[: len(chances)]
        self.curves = {"value": [m.value for m in thoughts], "entropy": [m.entropy for m in thoughts]}
        H, W = moments[0].board.shape[:2]
        self.width = max(W + 2 * MARGIN, NARROWEST)
        self.top = 2 * MARGIN + LINE
        self.below = self.top + H + MARGIN
        self.height = self.below + (2 + len(self.names)) * LINE + 2 * (CURVE + LINE) + MARGIN

    def draw(self, tick: int) -> UInt8[np.ndarray, "{self.height} {self.width} 3"]:
        """The panel at a moment of the video, counted from 0."""
        now = min(tick, len(self.moments) - 1)
        moment = self.moments[now]
        image = Image.new("RGB", (self.width, self.height), WHITE)
        draw = ImageDraw.Draw(image)
        _text(draw, MARGIN, MARGIN, self.title)
        _text(draw, self.width - MARGIN, MARGIN, f"pass {tick + 1}", anchor="ra")
        image.paste(Image.fromarray(moment.board), ((self.width - moment.board.shape[1]) // 2, self.top))
        _text(draw, MARGIN, self.below, moment.says)
        self._bars(draw, self.below + LINE + MARGIN, moment)
        y = self.below + (2 + len(self.names)) * LINE
        thoughts = min(tick + 1, len(self.curves["value"]))
        for name, values in self.curves.items():
            self._curve(draw, y, name, values, thoughts)
            y += CURVE + LINE
        return np.asarray(image)

    def _bars(self, draw: ImageDraw.ImageDraw, y: float, moment: Moment) -> None:
        left, right = MARGIN + NAME, self.width - MARGIN - NUMBER
        for action, name in enumerate(self.names):
            top = y + action * LINE
            _text(draw, MARGIN, top, name)
            draw.rectangle((left, top + 3, right, top + LINE - 3), PALE)
            if moment.chances is not None:
                chance = float(moment.chances[action])
                end = left + chance * (right - left)
                draw.rectangle((left, top + 3, end, top + LINE - 3), ORANGE if action == moment.action else BLUE)
                _text(draw, self.width - MARGIN, top, f"{chance:.0%}", anchor="ra")

    def _curve(self, draw: ImageDraw.ImageDraw, y: float, name: str, values: Sequence[float], shown: int) -> None:
        """Draws the first ``shown`` values of a curve, on the scale of the whole curve."""
        left, right, low, high = MARGIN + NAME, self.width - MARGIN - NUMBER, min(values), max(values)
        _text(draw, MARGIN, y + CURVE / 2 - LINE / 2, name)
        draw.rectangle((left, y, right, y + CURVE), None, PALE)
        across = max(len(values) - 1, 1)
        points = [
            (left + (right - left) * i / across, y + CURVE - 4 - (CURVE - 8) * (v - low) / ((high - low) or 1))
            for i, v in enumerate(values[:shown])
        ]
        if len(points) > 1:
            draw.line(points, BLUE, 2)
        x, last = points[-1]
        draw.ellipse((x - 3, last - 3, x + 3, last + 3), BLUE)
        _text(draw, self.width - MARGIN, y + CURVE / 2 - LINE / 2, f"{values[shown - 1]:.2f}", anchor="ra")


def _text(draw: ImageDraw.ImageDraw, x: float, y: float, text: str, anchor: str = "la") -> None:
    draw.text((x, y), text, INK, font(LINE - 3), anchor=anchor)

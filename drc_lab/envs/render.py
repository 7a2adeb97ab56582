"""Shared by the pictures of all games: drawing a cell at any size, and a window on the screen."""

import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from drc_lab.arguments import fit
from drc_lab.errors import UserError
from drc_lab.pictures import CellSize, play_extra

Colour = tuple[int, int, int]

SMALLEST_LETTER_CELL = 12  # pixels; in smaller cells letters are illegible
SUPERSAMPLING = 8

INK: Colour = (30, 34, 43)  # outlines, and the walls of Ricochet Robots
WHITE: Colour = (255, 255, 255)
FLOOR: Colour = (245, 242, 234)
GRID: Colour = (223, 218, 207)

# Colours of things that have to be told apart. The first seven are those of Okabe and Ito, which can be with every kind
# of colour blindness; each of the others was chosen as different as possible from those before it.
COLOURS: list[Colour] = [
    (213, 94, 0), (0, 114, 178), (240, 228, 66), (0, 158, 115), (204, 121, 167), (86, 180, 233), (230, 159, 0),
    (102, 0, 136), (51, 85, 0), (153, 85, 255), (170, 34, 102), (0, 0, 255), (0, 221, 0), (255, 0, 238),
    (34, 255, 204), (0, 0, 136), (255, 170, 255), (119, 0, 0), (255, 0, 102), (119, 102, 85), (187, 204, 170),
    (34, 68, 119), (102, 17, 221), (170, 0, 187), (153, 136, 0), (128, 140, 150),
]  # fmt: skip


class Pen:
    """Draws one cell, in coordinates from 0 to 1. A new cell shows bare floor.

    It draws at SUPERSAMPLING times the final size and scales down, so that edges are smooth.

    Args:
        cell_size: side of the finished cell, in pixels.
    """

    def __init__(self, cell_size: int):
        self.cell_size = fit(CellSize, cell_size, "cell_size")
        self.scale = cell_size * SUPERSAMPLING
        self._image = Image.new("RGB", (self.scale, self.scale), GRID)
        self._draw = ImageDraw.Draw(self._image)
        self.box(0.02, 0.02, 0.98, 0.98, FLOOR)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        box = [v * self.scale for v in (x - radius, y - radius, x + radius, y + radius)]
        self._draw.ellipse((box[0], box[1], box[2] - 1, box[3] - 1), colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour, radius: float = 0) -> None:
        box = [v * self.scale for v in (left, top, right, bottom, radius)]
        self._draw.rounded_rectangle((box[0], box[1], box[2] - 1, box[3] - 1), box[4], colour)

    def diamond(self, x: float, y: float, radius: float, colour: Colour) -> None:
        corners = [(x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y)]
        self._draw.polygon([(a * self.scale, b * self.scale) for a, b in corners], colour)

    def line(self, points: Sequence[tuple[float, float]], width: float, colour: Colour) -> None:
        """Draws a line through all points, with round joints and ends."""
        scaled = [(x * self.scale, y * self.scale) for x, y in points]
        self._draw.line(scaled, colour, round(width * self.scale), joint="curve")
        for x, y in points:
            self.disc(x, y, width / 2, colour)

    def letter(self, letter: str, height: float, colour: Colour) -> None:
        """Draws a capital letter in the middle of the cell, or nothing if the cell is too small to read it."""
        if self.cell_size >= SMALLEST_LETTER_CELL:
            bold = round(0.02 * self.scale)
            place = {"anchor": "mm", "font": font(round(height * self.scale)), "stroke_width": bold}
            self._draw.text((0.5 * self.scale, 0.5 * self.scale), letter, colour, **place)  # type: ignore[arg-type]

    def cell(self) -> np.ndarray:
        """The finished cell: uint8 [cell_size, cell_size, 3], read-only because callers cache it."""
        pixels = np.asarray(self._image.reduce(SUPERSAMPLING)).copy()
        pixels.flags.writeable = False
        return pixels


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's built-in font, ``size`` pixels high."""
    return ImageFont.load_default(size)


def mosaic(cells: np.ndarray) -> np.ndarray:
    """One picture uint8 [H * s, W * s, 3] from cells uint8 [H, W, s, s, 3]."""
    H, W, s = cells.shape[:3]
    return cells.swapaxes(1, 2).reshape(H * s, W * s, 3)


def tint(colour: Colour, share: float) -> Colour:
    """The floor's colour mixed with a ``share`` (0 to 1) of another colour."""
    red, green, blue = (round((1 - share) * f + share * c) for f, c in zip(FLOOR, colour, strict=True))
    return red, green, blue


def text_colour(background: Colour) -> Colour:
    """Ink or white, whichever is easier to read on the background."""
    red, green, blue = background
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else WHITE


class Window:
    """A window that shows pictures at a limited rate and returns the keys that are pressed in it.

    It opens with the first picture and takes the size of each. If the user closes it, nothing is raised: `is_open`
    turns False, and `show` does nothing from then on.

    Args:
        title: of the window.
        fps: the most pictures per second; `show` waits accordingly.

    Raises:
        UserError: pygame is not installed, or there is no screen.
    """

    def __init__(self, title: str = "drc_lab", fps: float = 4):
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        self._pygame = play_extra("pygame")
        self.title, self.fps = title, fps
        self.is_open = True
        self._screen: Any = None
        try:
            self._pygame.display.init()
        except self._pygame.error as error:
            raise UserError(f"no window can be opened here ({error})") from None
        self._clock = self._pygame.time.Clock()

    def show(self, picture: np.ndarray) -> None:
        """Shows a picture, uint8 [H, W, 3]."""
        if self.is_open and self._pygame.event.get(self._pygame.QUIT):
            self.close()
        if not self.is_open:
            return
        H, W = picture.shape[:2]
        if self._screen is None or self._screen.get_size() != (W, H):
            self._screen = self._pygame.display.set_mode((W, H))
            self._pygame.display.set_caption(self.title)
        self._pygame.surfarray.blit_array(self._screen, picture.swapaxes(0, 1))
        self._pygame.display.flip()
        self._clock.tick(self.fps)

    def key(self) -> str:
        """Waits for a key: its character, or "up", "down", "left", "right"; "" when the window is closed."""
        while self.is_open:
            event = self._pygame.event.wait(100)  # short, as Ctrl-C in the terminal takes effect only between waits
            if event.type == self._pygame.QUIT:
                self.close()
            elif event.type == self._pygame.KEYDOWN:
                name = self._pygame.key.name(event.key)
                if text := name if name in ("up", "down", "left", "right") else event.unicode:
                    return text
        return ""

    def close(self) -> None:
        """Closes the window; it can be called more than once."""
        self.is_open = False
        self._pygame.display.quit()

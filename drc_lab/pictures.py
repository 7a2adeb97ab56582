"""Limits on the size, speed and file names of pictures and videos. Light to import."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal, get_args

from annotated_types import Ge, Gt, Le

from drc_lab.errors import ConfigError, UserError
from drc_lab.rules import NUMBER

DEFAULT_CELL_SIZE = 32
SMALLEST_CELL, LARGEST_CELL = 8, 128
MAX_GIF_FPS = 50  # GIFs count in hundredths of a second, and viewers slow down those with less than two per picture
MAX_MP4_FPS = 1000
FPS = f"more than 0, up to {MAX_GIF_FPS} in a .gif and {MAX_MP4_FPS} in an .mp4"
Fps = Annotated[float, NUMBER, Gt(0), Le(MAX_MP4_FPS), FPS]
CellSize = Annotated[int, NUMBER, Ge(SMALLEST_CELL), Le(LARGEST_CELL), f"{SMALLEST_CELL} to {LARGEST_CELL} pixels"]
VideoSuffix = Literal[".gif", ".mp4"]
SUFFIXES = get_args(VideoSuffix)


def check_video(path: Path, fps: float) -> None:
    """Checks, before a long recording, that `drc_lab.evaluation.pictures.video.write_video` can write the file.

    Raises:
        ConfigError: the suffix is unknown, or ``fps`` is out of range.
        UserError: the optional extra for MP4 is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError("video", str(path), f"a name that ends in {' or '.join(SUFFIXES)}")
    if not 0 < fps <= (MAX_GIF_FPS if path.suffix == ".gif" else MAX_MP4_FPS):
        raise ConfigError("fps", fps, FPS)
    if path.suffix == ".mp4":
        play_extra("imageio_ffmpeg")


def play_extra(module: str) -> ModuleType:
    """Imports a module of the optional extra ``play``.

    Raises:
        UserError: the module is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise UserError(f"{module} is not installed, and this needs it: pip install 'drc-lab[play]'") from None

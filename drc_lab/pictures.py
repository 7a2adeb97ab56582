"""How large, how fast and under which names pictures and videos can be made. Light to import."""

from importlib import import_module
from pathlib import Path
from types import ModuleType

from drc_lab.errors import ConfigError, UserError

DEFAULT_CELL_SIZE = 32
SMALLEST_CELL, LARGEST_CELL = 8, 128
SUFFIXES = (".gif", ".mp4")
MAX_GIF_FPS = 50  # a GIF counts in hundredths of a second, and viewers slow down what is faster than two of them


def check_cell_size(cell_size: int) -> None:
    """Raises a ConfigError about ``cell_size`` if no picture of a cell can be that many pixels high and wide."""
    if not SMALLEST_CELL <= cell_size <= LARGEST_CELL:
        raise ConfigError("cell_size", cell_size, f"{SMALLEST_CELL} to {LARGEST_CELL} pixels")


def check_video(path: Path, fps: float) -> None:
    """Whether `drc_lab.evaluation.pictures.video.write_video` can write there, found out before a long recording.

    Raises:
        ConfigError: an unknown suffix, or an fps that cannot be.
        UserError: the optional extra for MP4 is not installed.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError("video", str(path), f"a name that ends in {' or '.join(SUFFIXES)}")
    if not 0 < fps <= (MAX_GIF_FPS if path.suffix == ".gif" else 1000):
        raise ConfigError("fps", fps, f"more than 0, up to {MAX_GIF_FPS} in a .gif and 1000 in an .mp4")
    if path.suffix == ".mp4":
        play_extra("imageio_ffmpeg")


def play_extra(module: str) -> ModuleType:
    """A module of the optional extra ``play``, imported only when it is used.

    Raises:
        UserError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise UserError(f"{module} is not installed, and this needs it: pip install 'drc-lab[play]'") from None

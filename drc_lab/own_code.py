"""Tells errors in the user's own code in one line, with the place. Light to import."""

import os
import sysconfig
import traceback
from pathlib import Path

LIBRARIES = {Path(__file__).parent, *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib"))}


def described(error: BaseException) -> str:
    """An error's type and message in one line, with the place if it was raised in the user's own code."""
    text = " ".join(str(error).split())
    if isinstance(error, SyntaxError) and error.filename:  # its text has the file's name without the folder
        return f"{type(error).__name__}: {error.msg}, at {shown(error.filename)}:{error.lineno}"
    places = [f"{shown(frame.filename)}:{frame.lineno} in {frame.name}" for frame in own_frames(error)]
    return f"{type(error).__name__}: {text}" + (f", at {' > '.join(places)}" if places else "")


def own_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """The frames of a traceback that are in the user's own code (neither this package nor a library), callers first."""
    frames = traceback.extract_tb(error.__traceback__)
    return [frame for frame in frames if is_own(Path(frame.filename))]


def is_own(path: Path) -> bool:
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return path.is_file() and not installed and not LIBRARIES & set(path.parents)


def shown(path: str) -> str:
    """A path, relative to the current folder if it is inside it."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path

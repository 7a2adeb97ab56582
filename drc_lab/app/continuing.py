"""The command that goes on with a run that was stopped."""

import re
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drc_lab.launch import words
from drc_lab.signals import Stopped
from drc_lab.tracking.run import python


def resume_command(folder: Path) -> str:
    """The command that goes on with the run of a folder: this one, with that folder."""
    overrides = [word for word in words() if not word.startswith(("resume=", "folder="))]
    folder = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    quoted = str(folder) if re.fullmatch(r"[\w./-]+", str(folder)) else f"'{folder}'"  # for Hydra's grammar
    return shlex.join([*python(), *overrides, f"folder={quoted}"])


@contextmanager
def continuable(folder: Path, so_far: str = "") -> Iterator[None]:
    """Within this context Ctrl-C and other signals tell the command that goes on with what is in a folder already.

    so_far: what has been done, in a sentence.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        if str(stop):  # it has been told
            raise
        by = getattr(stop, "by", signal.SIGINT)
        raise Stopped(by, f"{so_far} Go on with:  {resume_command(folder)}".lstrip()) from stop

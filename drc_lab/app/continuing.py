"""The command that resumes a stopped run."""

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
    """Returns the command that resumes the run of a folder: the current command with ``folder`` set to it."""
    overrides = [word for word in words() if not word.startswith(("resume=", "folder="))]
    folder = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    quoted = str(folder) if re.fullmatch(r"[\w./-]+", str(folder)) else f"'{folder}'"  # for Hydra's grammar
    return shlex.join([*python(), *overrides, f"folder={quoted}"])


@contextmanager
def continuable(folder: Path, so_far: str = "") -> Iterator[None]:
    """Makes Ctrl-C and other signals within this context print the command that resumes the run of a folder.

    Args:
        folder: of the run.
        so_far: a sentence on what has been done already.

    Raises:
        Stopped: in place of a KeyboardInterrupt, with that command.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        if str(stop):  # its message has the command already
            raise
        by = getattr(stop, "by", signal.SIGINT)
        raise Stopped(by, f"{so_far} Go on with:  {resume_command(folder)}".lstrip()) from stop

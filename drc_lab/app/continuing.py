"""The command that resumes a stopped run."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drc_lab.launch import command_with
from drc_lab.signals import Stopped


def resume_command(folder: Path) -> str:
    """Returns the command that resumes the run of a folder: the current command with ``folder`` set to it."""
    return command_with("folder", folder, without="resume")


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

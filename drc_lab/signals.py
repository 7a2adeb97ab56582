"""The signals that ask a task to stop, and the exception that they raise."""

import signal
from typing import Any

# Ctrl-C; the end of a job; the advance warning that a scheduler can be asked to send (Slurm's --signal=USR1@90).
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name))


class Stopped(KeyboardInterrupt):
    """A signal ended the task early.

    Args:
        by: number of the signal.
        message: how to resume.

    Attributes:
        exit_code: 130 for Ctrl-C, else 75 (EX_TEMPFAIL of sysexits.h: try again later), by which a scheduler can
            decide to requeue the job.
    """

    def __init__(self, by: int, message: str = ""):
        super().__init__(message)
        self.by = signal.Signals(by)
        self.exit_code = 130 if by == signal.SIGINT else 75


def stop_at_once(number: int, frame: Any = None) -> None:
    """A signal handler for when there is nothing to save: raises `Stopped` immediately."""
    raise Stopped(number)

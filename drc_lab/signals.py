"""The signals that ask a task to stop, and what they lead to."""

import signal
from typing import Any

# Ctrl-C; the end of a job; the warning before it that a scheduler can be asked for (Slurm's --signal=USR1@90).
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2") if hasattr(signal, name))


class Stopped(KeyboardInterrupt):
    """A signal ended the task early.

    Args:
        by: the signal.
        message: how to go on.

    Attributes:
        exit_code: 130 for Ctrl-C. 75 (EX_TEMPFAIL of sysexits.h: try again later) for the others, for which a
            scheduler can put the job back into its queue.
    """

    def __init__(self, by: int, message: str = ""):
        super().__init__(message)
        self.by = signal.Signals(by)
        self.exit_code = 130 if by == signal.SIGINT else 75


def stop_at_once(number: int, frame: Any = None) -> None:
    """The handler for when there is nothing to save."""
    raise Stopped(number)

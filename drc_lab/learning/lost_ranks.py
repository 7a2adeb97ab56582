"""Ends a distributed training soon, and with one line, when one of its processes is gone: killed, or out of memory."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from subprocess import Popen, TimeoutExpired
from typing import Any

import lightning as L
import torch.distributed as dist
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher

from drc_lab.errors import RankLost

SECONDS = 2.0  # within which a process that broke off an exchange between ranks has ended


@contextmanager
def ranks_watched(trainer: L.Trainer, advice: Callable[[], str]) -> Iterator[None]:
    """Within this context the training ends when another rank does, and ends the ranks that Lightning started when it
    fails itself: they would wait for this one, or fail too and print further errors.

    Args:
        trainer: will fit within the context.
        advice: returns the end of the message.

    Raises:
        RankLost: at once when a signal killed a rank that Lightning started here; else when an exchange with it fails.
    """

    def child_ended(number: int, frame: Any) -> None:
        if any(process.poll() is not None and process.returncode < 0 for process in _started(trainer)):
            raise RankLost(f"{_who(trainer)}; {advice()}")

    before = signal.signal(signal.SIGCHLD, child_ended) if hasattr(signal, "SIGCHLD") else None
    try:
        yield
    except BaseException as error:
        if before is not None:
            signal.signal(signal.SIGCHLD, before)  # of those that are ended below
        lost = _who(trainer) if _is_of_exchange(error) else None
        for process in _started(trainer):
            process.kill()
        _started(trainer).clear()  # Lightning would notice their end and kill this process before its run is closed
        if lost is not None:
            raise RankLost(f"{lost}; {advice()}") from error
        raise
    finally:
        if before is not None:
            signal.signal(signal.SIGCHLD, before)


def _started(trainer: L.Trainer) -> list[Popen[bytes]]:
    """The processes of other ranks that Lightning started from this one."""
    launcher = trainer.strategy.launcher
    return launcher.procs if isinstance(launcher, _SubprocessScriptLauncher) else []


def _is_of_exchange(error: BaseException) -> bool:
    """Whether an exchange between ranks failed. Gloo has no exception of its own."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _who(trainer: L.Trainer) -> str:
    """Which rank is gone, and how it ended."""
    first = trainer.node_rank * trainer.num_devices
    for number, process in enumerate(_started(trainer), start=1):
        with suppress(TimeoutExpired):
            if code := process.wait(SECONDS):
                how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                return f"rank {first + number} (process {process.pid}) {how}"
    return "another rank of this training is gone"

"""Ends a training cleanly when a signal asks it to stop."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L

from drc_lab.signals import STOPPING, stop_at_once


def stopping(trainer: L.Trainer) -> bool:
    """Whether this process was asked to stop."""
    return any(isinstance(one, GracefulStop) and one.signal for one in trainer.callbacks)  # type: ignore[attr-defined]


class GracefulStop(L.Callback):
    """Records a signal that asks to stop: Ctrl-C, SIGTERM, or the warning of a scheduler (SIGUSR1, SIGUSR2).

    The training then ends after the current rollout, see `drc_lab.learning.checkpointing.Checkpoints`. A held-out
    evaluation ends at once, and none is started before the first rollout. A second Ctrl-C interrupts immediately.
    This callback has to come before those that do work in `on_train_start`.

    Attributes:
        signal: the first signal that was received, else None.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.signal == number == signal.SIGINT:
            stop_at_once(number)
        self.signal = self.signal or signal.Signals(number)

    def requested(self, trainer: L.Trainer) -> bool:
        """Whether any rank of this training was asked to stop. Collective: every rank has to call it."""
        return trainer.strategy.reduce_boolean_decision(self.signal is not None, all=False)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Records these signals within the context, and restores the previous handlers afterwards."""
        previous = {number: signal.signal(number, self._on_signal) for number in STOPPING}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def on_train_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        # Replaces the handlers that Lightning has installed meanwhile, which would end the fit in the middle of a
        # rollout, or requeue a Slurm job.
        for number in STOPPING:
            signal.signal(number, self._on_signal)
        trainer._signal_connector.received_sigterm = False  # a SIGTERM that came before is already recorded here

"""A training that is asked to stop ends in good order."""

import signal
from typing import Any

import lightning as L

from drc_lab.signals import STOPPING, stop_at_once


def stopping(trainer: L.Trainer) -> bool:
    """Whether this process was asked to stop."""
    return any(isinstance(one, GracefulStop) and one.signal for one in trainer.callbacks)  # type: ignore[attr-defined]


class GracefulStop(L.Callback):
    """Notes a signal that asks to stop: Ctrl-C, SIGTERM, or the warning of a scheduler (SIGUSR1, SIGUSR2).

    The training then ends with its rollout, see `drc_lab.learning.keep.Checkpoints`; a held-out evaluation ends at
    once. A second Ctrl-C interrupts.

    Attributes:
        signal: the one that came, else None.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._previous: dict[int, Any] = {}

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.signal == number == signal.SIGINT:
            stop_at_once(number)
        self.signal = self.signal or signal.Signals(number)

    def requested(self, trainer: L.Trainer) -> bool:
        """Whether any process of this training was asked; all of them have to call it."""
        return trainer.strategy.reduce_boolean_decision(self.signal is not None, all=False)

    def on_train_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        # In place of Lightning's handlers too, which would end the fit in mid-rollout, or requeue a job of Slurm's.
        for number in STOPPING:
            self._previous[number] = signal.signal(number, self._on_signal)

    def teardown(self, trainer: L.Trainer, agent: L.LightningModule, stage: str) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

"""A training that is asked to stop ends in good order."""

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
    """Notes a signal that asks to stop: Ctrl-C, SIGTERM, or the warning of a scheduler (SIGUSR1, SIGUSR2).

    The training then ends with its rollout, see `drc_lab.learning.checkpointing.Checkpoints`; a held-out evaluation
    ends at once, and before the first rollout of a process none is begun. A second Ctrl-C interrupts. Has to come
    before the callbacks that work in `on_train_start`.

    Attributes:
        signal: the one that came, else None.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.signal == number == signal.SIGINT:
            stop_at_once(number)
        self.signal = self.signal or signal.Signals(number)

    def requested(self, trainer: L.Trainer) -> bool:
        """Whether any process of this training was asked; all of them have to call it."""
        return trainer.strategy.reduce_boolean_decision(self.signal is not None, all=False)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within this context the signals are noted."""
        previous = {number: signal.signal(number, self._on_signal) for number in STOPPING}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def on_train_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        # In place of the handlers that Lightning has set meanwhile, which would end the fit in mid-rollout, or put a
        # job of Slurm's back into its queue.
        for number in STOPPING:
            signal.signal(number, self._on_signal)
        trainer._signal_connector.received_sigterm = False  # one that came before is noted here

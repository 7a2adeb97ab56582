"""A training that is asked to stop ends in good order."""

import signal
from pathlib import Path
from typing import Any

import lightning as L

from drc_lab.learning.rollout import Rollout


class GracefulStop(L.Callback):
    """On Ctrl-C or SIGTERM: finishes the rollout, saves a checkpoint that resumes exactly, and ends the fit.

    A second Ctrl-C interrupts at once.

    Attributes:
        signal: its name once it came, else None.
        saved: whether the checkpoint was written.
    """

    def __init__(self, checkpoint: Path):
        self.checkpoint = checkpoint
        self.signal: str | None = None
        self.saved = False
        self._previous: dict[int, Any] = {}

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number).name

    def on_train_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._on_signal)

    def on_train_batch_end(self, trainer: L.Trainer, agent, outputs, batch: Rollout, batch_idx) -> None:
        if self.signal and batch.last:
            trainer.save_checkpoint(self.checkpoint)
            self.saved = trainer.should_stop = True

    def teardown(self, trainer: L.Trainer, agent: L.LightningModule, stage: str) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

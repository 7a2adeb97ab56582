"""Ends a training that has reached a target."""

from typing import Any

import lightning as L

from drc_lab.arguments import takes
from drc_lab.evaluation.measures.criterion import judged_by
from drc_lab.learning.specs import EarlyStopSpec


class EarlyStop(L.Callback):
    """Ends the training once a metric reaches a target.

    Lightning's `EarlyStopping` checks only after epochs or its own validation, and a stream of rollouts has neither.

    See `EarlyStopSpec` for the arguments.
    """

    @takes(EarlyStopSpec)
    def __init__(self, spec: EarlyStopSpec):
        self.target, self.monitor = spec.target, spec.monitor

    def _check(self, trainer: L.Trainer) -> None:
        seen = trainer.callback_metrics
        value = seen.get(self.monitor or judged_by(seen, "valid/"))
        if self.target is not None and value is not None and value >= self.target:
            trainer.should_stop = True

    def on_train_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        self._check(trainer)  # an evaluation that a stop had interrupted has just been repeated

    def on_train_batch_end(
        self, trainer: L.Trainer, agent: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._check(trainer)

"""Ends a training that has reached what it is for."""

from typing import Any

import lightning as L

from drc_lab.evaluation.measure import judged_by


class EarlyStop(L.Callback):
    """Ends the training once a metric reaches a target.

    Lightning's `EarlyStopping` asks only after epochs or its own validation, which a stream of rollouts does not have.

    Args:
        target: least value of the metric; None never ends a training.
        monitor: the metric; None is ``valid/solve_rate``, or ``valid/return`` where the env says no success.
    """

    def __init__(self, target: float | None = None, monitor: str | None = None):
        self.target, self.monitor, self.reached = target, monitor, False

    def _check(self, trainer: L.Trainer) -> None:
        seen = trainer.callback_metrics
        value = seen.get(self.monitor or judged_by(seen, "valid/"))
        self.reached = self.reached or (self.target is not None and value is not None and bool(value >= self.target))
        trainer.should_stop = trainer.should_stop or self.reached

    def on_train_epoch_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        self._check(trainer)  # a training that was stopped right where it reached the target

    def on_train_batch_end(self, trainer: L.Trainer, agent: L.LightningModule, outputs, batch, batch_idx) -> None:
        self._check(trainer)

    def state_dict(self) -> dict[str, Any]:
        return {"reached": self.reached}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.reached = state_dict["reached"]

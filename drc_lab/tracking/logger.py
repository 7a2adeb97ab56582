"""Adapts a run to Lightning's logger interface."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers.logger import Logger

from drc_lab.tracking.run import Run


class RunLogger(Logger):
    """The logger that Lightning's trainer and callbacks write to. The end of a fit does not end the run.

    Attributes:
        run: the run, for what Lightning's interface does not cover, such as checkpoints and artifacts.
    """

    def __init__(self, run: Run):
        self.run = run

    @property
    def name(self) -> str:
        return self.run.experiment

    @property
    def version(self) -> str | None:
        return self.run.run_id

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        self.run.log_metrics(metrics, step or 0)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the hyperparameters are in the config, see `Run.log_config`."""

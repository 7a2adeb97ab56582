"""A run as Lightning sees it."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers.logger import Logger

from drc_lab.tracking.run import Run


class RunLogger(Logger):
    """A run as Lightning's trainer and callbacks see it. The end of a fit is not the end of the run.

    Attributes:
        run: what else callbacks may record, checkpoints above all.
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
        """Are in the config, see `Run.log_config`."""

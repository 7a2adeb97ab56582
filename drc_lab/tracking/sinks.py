"""Sinks for metrics besides MLflow: a CSV file and TensorBoard, written by Lightning's loggers.

Both are rebuilt from the journal when a run is resumed, so that they have neither gaps nor duplicates.
"""

import shutil
from pathlib import Path

from drc_lab.tracking.journal import Operation


class CSVSink:
    """Writes ``csv/metrics.csv``: a line with the step for each time that metrics were logged."""

    def __init__(self, folder: Path):
        self.path = folder / "csv/metrics.csv"
        self.name = str(self.path)
        shutil.rmtree(self.path.parent, ignore_errors=True)
        from lightning.pytorch.loggers import CSVLogger  # takes seconds, and MLflow does not need it

        self.logger = CSVLogger(folder, name="", version=self.path.parent.name)

    def send(self, operations: list[Operation]) -> None:
        for operation in operations:
            if operation["op"] == "metrics":
                self.logger.log_metrics(operation["values"], operation["step"])
        self.logger.save()

    def close(self) -> None:
        self.logger.finalize("success")


class TensorBoardSink:
    """Writes event files in ``tensorboard/``, with the times at which metrics were logged."""

    def __init__(self, folder: Path):
        self.path = folder / "tensorboard"
        self.name = str(self.path)
        shutil.rmtree(self.path, ignore_errors=True)
        from lightning.pytorch.loggers import TensorBoardLogger  # takes seconds, too

        self.logger = TensorBoardLogger(folder, name="", version=self.path.name)

    def send(self, operations: list[Operation]) -> None:
        for operation in operations:
            if operation["op"] == "metrics":
                for name, value in operation["values"].items():
                    writer, seconds = self.logger.experiment, operation["time"] / 1000
                    writer.add_scalar(name, value, operation["step"], walltime=seconds)
        self.logger.experiment.flush()

    def close(self) -> None:
        self.logger.experiment.close()

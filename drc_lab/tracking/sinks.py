"""Where metrics can go beside MLflow: a CSV file and TensorBoard, by Lightning's own loggers.

Both are rebuilt from the journal when a run goes on, so that they have neither holes nor duplicates.
"""

import shutil
from pathlib import Path

from drc_lab.tracking.journal import Operation


class CSVSink:
    """``csv/metrics.csv``: a line for each time that metrics were logged, with the step."""

    def __init__(self, folder: Path):
        self.path = folder / "csv/metrics.csv"
        self.name = str(self.path)
        shutil.rmtree(self.path.parent, ignore_errors=True)
        from lightning.pytorch.loggers import CSVLogger  # it takes seconds, and MLflow alone does not need it

        self.logger = CSVLogger(folder, name="", version=self.path.parent.name)

    def send(self, operations: list[Operation]) -> None:
        for operation in operations:
            if operation["op"] == "metrics":
                self.logger.log_metrics(operation["values"], operation["step"])
        self.logger.save()

    def close(self) -> None:
        self.logger.finalize("success")


class TensorBoardSink:
    """Event files in ``tensorboard/``, with the times at which metrics were logged."""

    def __init__(self, folder: Path):
        self.path = folder / "tensorboard"
        self.name = str(self.path)
        shutil.rmtree(self.path, ignore_errors=True)
        from lightning.pytorch.loggers import TensorBoardLogger  # as above

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

"""Translates the journal's operations into MLflow calls.

Each operation may come twice: if a run was killed after the call and before the journal noted it.
"""

from pathlib import Path

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, ErrorCode
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NOTE

from drc_lab.tracking.journal import Operation
from drc_lab.tracking.mlflow import Away, Store, in_one_line
from drc_lab.tracking.models import drop_checkpoint, send_checkpoint
from drc_lab.tracking.sender import Refused

PARAM_LENGTH = 500


def dataset_input(operation: Operation) -> DatasetInput:
    """A dataset operation in MLflow's form. MLflow ignores a dataset that the run already has."""
    name, digest, source, profile = (operation[key] for key in ("name", "digest", "source", "profile"))
    dataset = Dataset(name, digest, source_type="drc_lab", source=source, profile=profile)
    return DatasetInput(dataset, [InputTag(MLFLOW_DATASET_CONTEXT, operation["context"])])


class MLflowSink:
    """Sends operations to one run in MLflow.

    Args:
        store: the store that has the run.
        experiment_id, run_id: MLflow's ids.
        folder: the journal's folder, to which relative paths refer.
        outside: whether files outside of that folder are sent. A folder that comes from somebody else could name any
            file of this machine, and the server to send it to.
    """

    def __init__(self, store: Store, experiment_id: str, run_id: str, folder: Path, outside: bool = True):
        self.store, self.experiment_id, self.run_id, self.folder = store, experiment_id, run_id, folder
        self.outside = outside
        self.name = f"MLflow at {store.name}"

    def send(self, operations: list[Operation]) -> None:
        try:
            if operations[0]["op"] == "metrics":
                self._send_metrics(self.run_id, operations)
            else:
                (operation,) = operations
                self._send_one(operation)
        except MlflowException as error:
            if error.error_code == ErrorCode.Name(INVALID_PARAMETER_VALUE):
                raise Refused(in_one_line(error)) from error
            raise Away(in_one_line(error)) from error  # any other error may be temporary

    def close(self) -> None:
        """Does nothing: the client has nothing to close."""

    def _send_metrics(self, run_id: str, operations: list[Operation]) -> None:
        # Sending twice is harmless: MLflow's SQL stores keep only one metric of the same name, value, time and step.
        metrics = [
            Metric(name, value, operation["time"], operation["step"])
            for operation in operations
            for name, value in operation["values"].items()
        ]
        self.store.client.log_batch(run_id, metrics)

    def _send_one(self, operation: Operation) -> None:
        client, run_id = self.store.client, self.run_id
        if "path" in operation:
            path = self._file(operation["path"])
            if not path.is_file():  # the checkpoint was deleted, because others are better
                return
            operation = operation | {"path": str(path)}
        match operation:
            case {"op": "params", "values": values}:
                client.log_batch(run_id, params=[Param(k, str(v)[:PARAM_LENGTH]) for k, v in values.items()])
            case {"op": "tags", "values": values}:
                client.log_batch(run_id, tags=[RunTag(k, str(v)) for k, v in values.items()])
            case {"op": "artifact", "path": local, "folder": folder}:
                client.log_artifact(run_id, local, folder)
            case {"op": "checkpoint"}:
                send_checkpoint(client, run_id, self.experiment_id, operation)
            case {"op": "drop"}:
                drop_checkpoint(client, run_id, self.experiment_id, operation)
            case {"op": "dataset"}:
                client.log_inputs(run_id, [dataset_input(operation)])
            case {"op": "child"}:
                self._send_child(operation)
            case {"op": "status", "status": "RUNNING"}:
                client.update_run(run_id, "RUNNING")
            case {"op": "status", "status": status, "time": time}:
                client.set_terminated(run_id, status, time)

    def _file(self, path: str) -> Path:
        file = self.folder / path
        if not self.outside and not file.resolve().is_relative_to(self.folder.resolve()):
            raise Refused(f"{path} lies outside of the run's folder")
        return file

    def _send_child(self, child: Operation) -> None:
        """Sends a nested run; if one of that name exists from before the run was stopped, it is updated."""
        parent = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{self.run_id}'"
        there = self.store.client.search_runs([self.experiment_id], parent, max_results=1000)
        run_id = next((run.info.run_id for run in there if run.info.run_name == child["name"]), None)
        if run_id is None:
            tags = {MLFLOW_PARENT_RUN_ID: self.run_id}
            if description := child.get("description"):
                tags[MLFLOW_RUN_NOTE] = description
            run = self.store.client.create_run(self.experiment_id, child["started"], tags, child["name"])
            run_id = run.info.run_id
        params = [Param(name, str(value)[:PARAM_LENGTH]) for name, value in child["params"].items()]
        self.store.client.log_batch(run_id, params=params)
        self._send_metrics(run_id, child["metrics"])
        for path, folder in child["artifacts"]:
            if (file := self._file(path)).is_file():
                self.store.client.log_artifact(run_id, str(file), folder)
        self.store.client.set_terminated(run_id, child["status"], child["time"])

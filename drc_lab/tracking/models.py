"""Checkpoints as MLflow keeps them."""

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from drc_lab.tracking.journal import Operation

FOLDER = "checkpoints"


def send_checkpoint(client: MlflowClient, run_id: str, experiment_id: str, operation: Operation) -> None:
    """Stores a checkpoint; may be called again for one that is there already.

    Args:
        client: of the store.
        run_id, experiment_id: of the run.
        operation: with the absolute ``path``, ``metrics`` by name, ``step`` in frames and ``time`` in ms.
    """
    client.log_artifact(run_id, operation["path"], FOLDER)


def drop_checkpoint(client: MlflowClient, run_id: str, experiment_id: str, operation: Operation) -> None:
    """Deletes the checkpoint of the file name ``operation["name"]``, if it is there."""
    path = f"{FOLDER}/{operation['name']}"
    if path in (file.path for file in client.list_artifacts(run_id, FOLDER)):
        get_artifact_repository(client.get_run(run_id).info.artifact_uri).delete_artifacts(path)

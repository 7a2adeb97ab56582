"""Checkpoints in MLflow: each one that is kept is a LoggedModel with its metrics, and the last one is an artifact.

A model has the tags ``file`` (the checkpoint's file name) and ``frames``, and the file is its only artifact. The last
checkpoint exists to resume from, is replaced often and has no metrics, so it is an artifact of the run.
"""

import math
import re
from pathlib import Path

from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from drc_lab.checkpoint_names import FOLDER, LAST
from drc_lab.evaluation.measures.criterion import RETURN, judged_by
from drc_lab.tracking.journal import Operation
from drc_lab.tracking.reading import pages

MODEL_TYPE = "policy"
VALID = "valid/"  # prefix of the metrics that checkpoints are ranked by


def send_checkpoint(client: MlflowClient, run_id: str, experiment_id: str, operation: Operation) -> None:
    """Stores a checkpoint, replacing one of the same file name. Calling it again for the same one is harmless.

    Args:
        client: client of the store.
        run_id, experiment_id: ids of the run and its experiment.
        operation: has the absolute ``path``, ``metrics`` by name, ``step`` in frames and ``time`` in ms.
    """
    path, frames = Path(operation["path"]), operation["step"]
    if path.name == LAST:
        client.log_artifact(run_id, str(path), FOLDER)
        return
    before = models_of(client, run_id, experiment_id, path.name)
    model = next((model for model in before if model.tags["frames"] == str(frames)), None)
    if model is None:
        name = re.sub(r"[/:.%\"']", "_", path.stem)  # characters that MLflow does not allow
        tags = {"file": path.name, "frames": str(frames)}
        model = client.create_logged_model(experiment_id, name, run_id, tags, model_type=MODEL_TYPE)
    if model.status != LoggedModelStatus.READY:
        client.log_model_artifact(model.model_id, str(path))
        client.log_batch(run_id, metrics_of(client, run_id, model.model_id, operation))
        outputs = client.get_run(run_id).outputs
        if model.model_id not in {output.model_id for output in (outputs.model_outputs if outputs else [])}:
            client.log_outputs(run_id, [LoggedModelOutput(model.model_id, frames)])
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    for other in before:
        if other.model_id != model.model_id:
            delete(client, run_id, other)


def drop_checkpoint(client: MlflowClient, run_id: str, experiment_id: str, operation: Operation) -> None:
    """Deletes the checkpoint whose file name is ``operation["name"]``, if it exists and is not registered."""
    for model in models_of(client, run_id, experiment_id, operation["name"]):
        delete(client, run_id, model)


def models_of(client: MlflowClient, run_id: str, experiment_id: str, file: str | None = None) -> list[LoggedModel]:
    """The checkpoints of a run, or only those with a given file name; includes incompletely uploaded ones."""
    models = pages(client.search_logged_models, [experiment_id], f"source_run_id = '{run_id}'")
    return [model for model in models if "file" in model.tags and file in (None, model.tags["file"])]


def own_measure(models: list[LoggedModel]) -> str:
    """The metric that a training ranked them by: valid/solve_rate, or valid/return if the env reported no success."""
    return judged_by({point.key for model in models for point in model.metrics or []}, VALID)


def best_first(models: list[LoggedModel], metric: str) -> list[LoggedModel]:
    """The models that have the metric, in the order in which a training ranks them.

    Ties are broken by the higher return, then by the fewer frames.
    """

    def rank(model: LoggedModel) -> tuple[float, float, int]:
        return value_of(model, metric), value_of(model, VALID + RETURN), -int(model.tags["frames"])

    return sorted((model for model in models if value_of(model, metric) > -math.inf), key=rank, reverse=True)


def value_of(model: LoggedModel, metric: str) -> float:
    """The value of a checkpoint's metric; -inf if it does not have it."""
    return next((point.value for point in model.metrics or [] if point.key == metric), -math.inf)


def metrics_of(client: MlflowClient, run_id: str, model_id: str, operation: Operation) -> list[Metric]:
    """A checkpoint's metrics, in the form in which MLflow attaches them to its model.

    MLflow also adds them to the run's series. If a series already has this point, its time is reused, because MLflow
    then keeps one point instead of two.
    """
    step, points = operation["step"], []
    for name, value in operation["metrics"].items():
        times = [p.timestamp for p in client.get_metric_history(run_id, name) if p.step == step and p.value == value]
        points.append(Metric(name, value, times[-1] if times else operation["time"], step, model_id, run_id=run_id))
    return points


def delete(client: MlflowClient, run_id: str, model: LoggedModel) -> None:
    """Deletes a model and its file, unless it is registered. MLflow alone would leave the file."""
    versions = client.search_model_versions(f"run_id = '{run_id}'")
    if any(model.model_id in str(version.source).split("/") for version in versions):
        return
    get_artifact_repository(model.artifact_location, tracking_uri=client.tracking_uri).delete_artifacts()
    client.delete_logged_model(model.model_id)

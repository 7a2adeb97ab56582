"""Checkpoints as MLflow keeps them: each kept one is a LoggedModel with its metrics, the last one an artifact.

A model has the tags ``file`` (of the checkpoint, ``best.ckpt``) and ``frames``; its only artifact is the file. The last
checkpoint is there to go on from, is replaced all the time and was measured by nobody: it stays with the run.
"""

import math
import re
from pathlib import Path

from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus, Metric
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from drc_lab.checkpoint_names import FOLDER, LAST
from drc_lab.evaluation.measures.measure import RETURN, judged_by
from drc_lab.tracking.journal import Operation
from drc_lab.tracking.reading import pages

MODEL_TYPE = "policy"
VALID = "valid/"  # of the metrics that checkpoints are ranked by


def send_checkpoint(client: MlflowClient, run_id: str, experiment_id: str, operation: Operation) -> None:
    """Stores a checkpoint in place of one of the same file name; may be called again for one that is there already.

    Args:
        client: of the store.
        run_id, experiment_id: of the run.
        operation: with the absolute ``path``, ``metrics`` by name, ``step`` in frames and ``time`` in ms.
    """
    path, frames = Path(operation["path"]), operation["step"]
    if path.name == LAST:
        client.log_artifact(run_id, str(path), FOLDER)
        return
    before = models_of(client, run_id, experiment_id, path.name)
    model = next((model for model in before if model.tags["frames"] == str(frames)), None)
    if model is None:
        name = re.sub(r"[/:.%\"']", "_", path.stem)  # what MLflow does not allow
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
    """Deletes the checkpoint of the file name ``operation["name"]``, if it is there; not one that is registered."""
    for model in models_of(client, run_id, experiment_id, operation["name"]):
        delete(client, run_id, model)


def models_of(client: MlflowClient, run_id: str, experiment_id: str, file: str | None = None) -> list[LoggedModel]:
    """The checkpoints of a run, or those of one file name: half-written ones too."""
    found = pages(client.search_logged_models, [experiment_id], f"source_run_id = '{run_id}'")
    return [model for model in found if "file" in model.tags and file in (None, model.tags["file"])]


def own_measure(models: list[LoggedModel]) -> str:
    """What a training chose them by: valid/solve_rate, or valid/return where the env said no success."""
    return judged_by({point.key for model in models for point in model.metrics or []}, VALID)


def best_first(models: list[LoggedModel], metric: str) -> list[LoggedModel]:
    """Those that have the metric, as a training ranks them: of equals that with the higher return, then the earlier."""

    def rank(model: LoggedModel) -> tuple[float, float, int]:
        return worth(model, metric), worth(model, VALID + RETURN), -int(model.tags["frames"])

    return sorted((model for model in models if worth(model, metric) > -math.inf), key=rank, reverse=True)


def worth(model: LoggedModel, metric: str) -> float:
    """The value of a checkpoint's metric; -inf without it."""
    return next((point.value for point in model.metrics or [] if point.key == metric), -math.inf)


def metrics_of(client: MlflowClient, run_id: str, model_id: str, operation: Operation) -> list[Metric]:
    """A checkpoint's metrics for its model.

    MLflow takes them only as points of the run's series too. Where a series has a point at these frames, its time is
    given again, so that there are not two.
    """
    step, points = operation["step"], []
    for name, value in operation["metrics"].items():
        times = [p.timestamp for p in client.get_metric_history(run_id, name) if p.step == step and p.value == value]
        points.append(Metric(name, value, times[-1] if times else operation["time"], step, model_id, run_id=run_id))
    return points


def delete(client: MlflowClient, run_id: str, model: LoggedModel) -> None:
    """Deletes a model with its file, unless somebody registered it. MLflow itself would leave the file."""
    versions = client.search_model_versions(f"run_id = '{run_id}'")
    if any(model.model_id in str(version.source).split("/") for version in versions):
        return
    get_artifact_repository(model.artifact_location, tracking_uri=client.tracking_uri).delete_artifacts()
    client.delete_logged_model(model.model_id)

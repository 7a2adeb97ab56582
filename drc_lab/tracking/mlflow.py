"""What MLflow needs beyond Lightning's logger: one place for the store, run status, nested runs, artifacts."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import MLFlowLogger
from mlflow.entities import Metric, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from mlflow.utils.time import get_current_time_millis

from drc_lab.errors import ConfigError, UserError
from drc_lab.tracking.spec import TrackingSpec

PARAM_LENGTH = 500
BATCH = 100  # params in one request, MLflow's limit


class RunLogger(MLFlowLogger):
    """Lightning's logger for a run whose status `tracked_run` owns: the end of a fit is not the end of the run.

    Attributes:
        run: what else callbacks may record, checkpoints above all.
    """

    run: "Run"

    def finalize(self, status: str = "success") -> None:
        """Leaves the run as it is."""


class Run:
    """One MLflow run, with its artifacts and children.

    Args:
        client: of the store.
        experiment_id, run_id: MLflow's.
        logger: Lightning's way to it; a child has none.
    """

    def __init__(self, client: MlflowClient, experiment_id: str, run_id: str, logger: RunLogger | None = None):
        self.client, self.experiment_id, self.run_id, self.logger = client, experiment_id, run_id, logger
        if logger is not None:
            logger.run = self

    def log_config(self, config: Mapping[str, Any], path: Path) -> None:
        """The whole config as artifact, and flattened as params (values cut at 500 characters)."""
        self.client.log_artifact(self.run_id, str(path))
        params = [Param(name, str(value)[:PARAM_LENGTH]) for name, value in flatten(config).items()]
        for start in range(0, len(params), BATCH):
            self.client.log_batch(self.run_id, params=params[start : start + BATCH])

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Scalars at a number of env frames."""
        now = get_current_time_millis()
        self.client.log_batch(self.run_id, [Metric(name, float(value), now, step) for name, value in metrics.items()])

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Copies a file into the artifact store."""
        self.client.log_artifact(self.run_id, str(path), folder)

    def log_checkpoint(self, path: Path, metrics: Mapping[str, float], step: int) -> None:
        """Keeps a checkpoint, with what it was worth at ``step`` frames; one of the same name is replaced."""
        self.log_artifact(path, "checkpoints")

    def drop_checkpoint(self, name: str) -> None:
        """Deletes the checkpoint of that file name, if it is there."""

    @contextmanager
    def child(self, name: str, params: Mapping[str, Any]) -> Iterator["Run"]:
        """A nested run."""
        tags = {MLFLOW_PARENT_RUN_ID: self.run_id, MLFLOW_RUN_NAME: name}
        run_id = self.client.create_run(self.experiment_id, tags=tags).info.run_id
        self.client.log_batch(run_id, params=[Param(k, str(v)) for k, v in params.items()])
        with _status(self.client, run_id):
            yield Run(self.client, self.experiment_id, run_id)


@contextmanager
def tracked_run(
    spec: TrackingSpec, folder: Path, experiment: str, name: str | None, tags: Mapping[str, str], resume: bool = False
) -> Iterator[Run]:
    """A run that ends FINISHED, FAILED (an exception) or KILLED (Ctrl-C, SIGTERM).

    Args:
        spec: where to.
        folder: of the run.
        experiment: its name; one for each study.
        name: of the run.
        tags: more of them.
        resume: whether the run that was recorded from this folder goes on.
    """
    uri, artifacts = spec.uri, spec.artifacts
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    try:
        client = MlflowClient(uri)
        existing = client.get_experiment_by_name(experiment)
        if existing is None:
            local = artifacts is not None and "://" not in artifacts
            client.create_experiment(experiment, Path(str(artifacts)).resolve().as_uri() if local else artifacts)
        elif existing.lifecycle_stage == "deleted":
            raise ConfigError("study", experiment, "another name: that experiment was deleted in MLflow")
    except MlflowException as error:
        raise UserError(f"tracking.uri: found {uri!r}: {' '.join(str(error).split())}") from error
    logger = RunLogger(experiment, name, tracking_uri=uri, tags={**tags, **git_tags()})
    run_id, experiment_id = logger.run_id, logger.experiment_id
    assert run_id is not None and experiment_id is not None
    with _status(client, run_id):
        yield Run(client, experiment_id, run_id, logger)


@contextmanager
def _status(client: MlflowClient, run_id: str) -> Iterator[None]:
    status = RunStatus.FAILED
    try:
        yield
        status = RunStatus.FINISHED
    except KeyboardInterrupt:
        status = RunStatus.KILLED
        raise
    finally:
        client.set_terminated(run_id, RunStatus.to_string(status))


def git_tags() -> dict[str, str]:
    """The commit of the working folder's repository, if it is one, and whether files differ from it."""

    def git(*args: str) -> str:
        return subprocess.run(("git", *args), capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {MLFLOW_GIT_COMMIT: git("rev-parse", "HEAD"), "git.dirty": str(bool(git("status", "--porcelain")))}
    except (OSError, subprocess.SubprocessError):
        return {}


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat

"""Downloads checkpoints from MLflow by name."""

import os
import tempfile
from pathlib import Path

from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from drc_lab.checkpoint_names import ALLOWED, FOLDER, MODEL, RUN
from drc_lab.checksums import fault_in_zip
from drc_lab.errors import ConfigError
from drc_lab.files import is_name, written
from drc_lab.tracking.mlflow import in_one_line
from drc_lab.tracking.models import best_first, models_of, own_measure

BEST = "best.ckpt"  # a second name of a training's best checkpoint


def fetch_checkpoint(client: MlflowClient, checkpoint: str, cache: Path) -> Path:
    """The local file of a checkpoint in MLflow.

    MLflow never changes the files of a model, so they are downloaded only once, unless they are damaged here.

    Args:
        client: client of the store.
        checkpoint: a name in MLflow, see `ALLOWED`.
        cache: folder for downloaded files.

    Raises:
        ConfigError: about ``checkpoint``: the name has the wrong form, or MLflow has nothing under it.
    """
    try:
        if match := MODEL.fullmatch(checkpoint):
            name, version = match["name"], match["version"]
            if match["alias"]:
                version = client.get_model_version_by_alias(name, match["alias"]).version
            file = client.get_model_version(name, version).tags["file"]
            return _download(client, client.get_model_version_download_uri(name, version), file, cache)
        if match := RUN.fullmatch(checkpoint):
            run, file = client.get_run(match["run"]), match["path"].split("/")[1]
            models = models_of(client, run.info.run_id, run.info.experiment_id)
            named = [model for model in models if model.tags["file"] == file]
            for model in named or (best_first(models, own_measure(models)) if file == BEST else []):
                return _download(client, model.artifact_location, model.tags["file"], cache)
            # Other artifacts may have been overwritten since the last download.
            return _download(client, f"{run.info.artifact_uri}/{FOLDER}", file, cache, again=True)
    except (MlflowException, OSError, KeyError) as error:
        raise ConfigError("checkpoint", checkpoint, f"one that is in MLflow: {in_one_line(error)}") from error
    raise ConfigError("checkpoint", checkpoint, ALLOWED)


def fetch_run(client: MlflowClient, run: str, cache: Path, key: str) -> list[Path]:
    """The local files of all checkpoints of a run: those that were kept and the last one.

    Args:
        client: client of the store.
        run: runs:/ID.
        cache: folder for downloaded files.
        key: config key that names ``run``, for messages.

    Raises:
        ConfigError: about ``key`` if there is no such run, or about ``checkpoint`` if one cannot be downloaded.
    """
    try:
        its_run = client.get_run(run.removeprefix("runs:/").rstrip("/"))
        models = models_of(client, its_run.info.run_id, its_run.info.experiment_id)
        files = [model.tags["file"] for model in models if model.status == LoggedModelStatus.READY]
        files += [Path(file.path).name for file in client.list_artifacts(its_run.info.run_id, FOLDER)]
    except MlflowException as error:
        raise ConfigError(key, run, f"runs:/ID of a run that is in MLflow: {in_one_line(error)}") from error
    place = f"runs:/{its_run.info.run_id}/{FOLDER}"
    return [fetch_checkpoint(client, f"{place}/{file}", cache) for file in dict.fromkeys(files)]


def _download(client: MlflowClient, folder: str, file: str, cache: Path, again: bool = False) -> Path:
    run_id = folder.removesuffix("/artifacts").removesuffix(f"/artifacts/{FOLDER}").split("/")[-1]
    for name in (run_id, file):  # the server says them
        if not is_name(name):
            raise ConfigError("checkpoint", f"{run_id}/{file}", "the name of a file in a folder")
    place = cache / run_id / file
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    if again or not place.is_file() or fault_in_zip(place):
        with written(place) as part, tempfile.TemporaryDirectory(dir=part.parent) as there:
            Path(download_artifacts(f"{folder}/{file}", dst_path=there, tracking_uri=client.tracking_uri)).rename(part)
    return place

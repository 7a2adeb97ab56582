"""Registers the best checkpoint of a run as a version of a registered model."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
from mlflow.entities import LoggedModel, LoggedModelStatus, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from drc_lab.errors import ConfigError
from drc_lab.tracking.descriptions import in_markdown
from drc_lab.tracking.models import best_first, own_measure, value_of
from drc_lab.tracking.reading import listed, pages, runs_of, study_ids
from drc_lab.tracking.spec import LATEST, RegisterSpec

CARRIED = ("env", "policy", "algo", "seed")  # tags that are copied from the run to its model versions


def register(client: MlflowClient, spec: RegisterSpec) -> ModelVersion:
    """Registers a run's best checkpoint and moves the alias to it.

    If the checkpoint is already a version of that model, no new version is created.

    Raises:
        ConfigError: about ``run``, ``study`` or ``metric``: there is nothing to register.
    """
    run, models = find_run(client, spec)
    by = spec.metric or own_measure(models)
    ranked = best_first(models, by)
    if not ranked:
        known = sorted({metric.key for model in models for metric in model.metrics or []})
        raise ConfigError("metric", by, listed(known) or "a metric of the checkpoints: they have none")
    best = ranked[0]
    env = str(run.data.tags.get("env", "policy")).split("/")[-1]
    name = spec.name or "drc-" + re.sub(r"[^\w.-]", "_", env)
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    there = pages(client.search_model_versions, f"name = '{name}'")
    version = next((v for v in there if best.model_id in str(v.source).split("/")), None)
    if version is None:
        file, frames = best.tags["file"], int(best.tags["frames"])
        tags = {key: run.data.tags[key] for key in CARRIED if key in run.data.tags}
        with _process_wide(client.tracking_uri):
            version = client.create_model_version(
                name,
                f"models:/{best.model_id}",
                run.info.run_id,
                tags | {"file": file, "frames": str(frames)},
                description=f"{in_markdown(file)} of {in_markdown(str(run.info.run_name))}: "
                f"{by} {value_of(best, by):.4g} after {frames:,} frames",
                model_id=best.model_id,
            )
    if spec.alias is not None:
        client.set_registered_model_alias(name, spec.alias, version.version)
    return version


def find_run(client: MlflowClient, spec: RegisterSpec) -> tuple[Run, list[LoggedModel]]:
    """The run that the spec names, and its checkpoints.

    Raises:
        ConfigError: there is no such run, there are several, or it has no checkpoints.
    """
    experiments = study_ids(client, spec.study, "study", all_if_none=True)
    checkpoints: dict[str, list[LoggedModel]] = {}
    for model in pages(client.search_logged_models, experiments):
        if "file" in model.tags and model.status == LoggedModelStatus.READY:
            checkpoints.setdefault(model.source_run_id, []).append(model)
    runs = runs_of(client, experiments)[::-1]  # the newest first
    with_checkpoint = [run for run in runs if run.info.run_id in checkpoints]
    chosen = [run for run in runs if spec.run in (run.info.run_id, run.info.run_name)]
    if not chosen and spec.run == LATEST:
        chosen = with_checkpoint[:1]
    if not chosen:
        names = list(dict.fromkeys(str(run.info.run_name) for run in with_checkpoint))
        raise ConfigError("run", spec.run, listed(names) or "a run with a checkpoint: there is none")
    if len(chosen) > 1:
        ids = [run.info.run_id for run in chosen]
        raise ConfigError("run", spec.run, f"the ID of one of the runs of that name, the newest first: {listed(ids)}")
    if chosen[0].info.run_id not in checkpoints:
        raise ConfigError("run", spec.run, "a run with a checkpoint: MLflow has none of this one")
    return chosen[0], checkpoints[chosen[0].info.run_id]


@contextmanager
def _process_wide(uri: str) -> Iterator[None]:
    """Sets MLflow's global tracking URI within the context.

    With an SQL store, MLflow (3.17) looks up the model by the global URI and not by that of the client.
    """
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else ""
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)

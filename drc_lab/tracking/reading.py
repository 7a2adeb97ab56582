"""Reading what runs recorded: studies, runs, curves. Nothing here writes."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from drc_lab.errors import ConfigError, UserError

SHOWN = 12  # names in a message


def open_store(uri: str) -> MlflowClient:
    """A client of a store that exists.

    Raises:
        UserError: there is none, or it does not answer.
    """
    path = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not path.is_file():  # MLflow would make an empty one
        raise UserError(f"tracking.uri: found no runs, {str(path)!r} is not there; a training makes it")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # somebody waits; the default takes minutes
    try:
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    except MlflowException as error:
        raise UserError(f"tracking.uri: found {uri!r}: {' '.join(str(error).split())[:300]}") from error
    return client


def study_ids(client: MlflowClient, names: Iterable[str], key: str) -> list[str]:
    """The experiments of that name; all there are if none is named.

    Raises:
        ConfigError: about ``key``: a study that is not there.
    """
    known = {experiment.name: experiment.experiment_id for experiment in pages(client.search_experiments)}
    wanted = list(names)
    for name in wanted:
        if name not in known:
            raise ConfigError(key, name, listed(sorted(set(known) - {"Default"})) or "one that has runs: there is none")
    return [known[name] for name in wanted] or list(known.values())


def runs_of(client: MlflowClient, experiment_ids: list[str], filter_string: str = "") -> list[Run]:
    """The runs of studies, the oldest first, without those that are nested in another."""
    found = pages(client.search_runs, experiment_ids, filter_string, order_by=["attributes.start_time ASC"])
    return [run for run in found if MLFLOW_PARENT_RUN_ID not in run.data.tags]


def curve(client: MlflowClient, run_id: str, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Frames (int64 [N], rising) and values (float [N], no nan) of a metric.

    Of points at the same frames the last written counts: a run that went on after a crash wrote some of them twice.
    """
    history = sorted(client.get_metric_history(run_id, metric), key=lambda point: (point.step, point.timestamp))
    points = {point.step: point.value for point in history if point.value == point.value}
    return np.array(list(points), np.int64), np.array(list(points.values()), float)


def listed(names: list[str]) -> str:
    """Names for a message, not too many of them."""
    return " | ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def pages(search: Callable[..., PagedList], *args: object, **kwargs: object) -> list:
    """All pages of a search: MLflow gives 1,000 results at a time."""
    page = search(*args, **kwargs)
    found = list(page)
    while page.token:
        page = search(*args, page_token=page.token, **kwargs)
        found += page
    return found

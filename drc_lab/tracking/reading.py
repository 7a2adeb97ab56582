"""Reading what runs recorded: studies, runs, curves. Nothing here writes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.entities import PagedList
from mlflow.tracking import MlflowClient

from drc_lab.errors import ConfigError, UserError
from drc_lab.tracking.mlflow import SQLITE, Away, Store, in_one_line

SHOWN = 12  # names in a message


def open_store(uri: str) -> MlflowClient:
    """A client of a store that exists.

    Raises:
        UserError: there is none, or it does not answer.
    """
    store, path = Store(uri), Path(uri.removeprefix(SQLITE))
    if uri.startswith(SQLITE) and not path.is_file():  # MLflow would make an empty one
        raise UserError(f"tracking.uri: found no runs, {str(path)!r} is not there; a training makes it")
    try:
        store.client.search_experiments(max_results=1)
    except MlflowException as error:
        raise Away(f"tracking.uri: found {store.name!r}: {in_one_line(error)}") from error
    return store.client


def studies(client: MlflowClient) -> dict[str, str]:
    """The experiments there are: ids by name."""
    return {experiment.name: experiment.experiment_id for experiment in pages(client.search_experiments)}


def study_ids(client: MlflowClient, names: str | list[str] | None, key: str, all_if_none: bool) -> list[str]:
    """The experiments of one name or several.

    Raises:
        ConfigError: about ``key``: one that is not there, or none is named and not all are meant.
    """
    known = studies(client)
    if not names and all_if_none:
        return list(known.values())
    wanted = [names] if isinstance(names, str) else list(names or [])
    if not set(wanted) <= set(known) or not wanted:
        there = sorted(set(known) - {"Default"})
        raise ConfigError(key, names, listed(there) or "a study with runs: there is none")
    return [known[name] for name in wanted]


def runs_of(client: MlflowClient, experiment_ids: list[str], filter_string: str = "") -> list[Run]:
    """The trainings of studies, the oldest first: those that were started by themselves and the jobs of sweeps.

    Neither the run above a sweep nor an evaluation that is nested in a training has a seed.
    """
    found = pages(client.search_runs, experiment_ids, filter_string, order_by=["attributes.start_time ASC"])
    return [run for run in found if "seed" in run.data.tags]


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


def pages(search: Callable[..., PagedList[Any]], *args: object, **kwargs: object) -> list[Any]:
    """All pages of a search: MLflow gives 1,000 results at a time."""
    page = search(*args, **kwargs)
    found = list(page)
    while page.token:
        page = search(*args, page_token=page.token, **kwargs)
        found += page
    return found

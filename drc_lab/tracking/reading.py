"""Read-only access to what runs recorded: studies, runs and curves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.entities import Run
from mlflow.store.entities import PagedList
from mlflow.tracking import MlflowClient

from drc_lab.errors import ConfigError, UserError, note
from drc_lab.tracking.environment import overridden
from drc_lab.tracking.mlflow import Store
from drc_lab.tracking.sqlite import SQLITE

SHOWN = 12  # most names in a message


def open_store(uri: str) -> MlflowClient:
    """A client of an existing store.

    Raises:
        UserError: the store does not exist or does not answer.
    """
    store, path = Store(uri), Path(uri.removeprefix(SQLITE))
    if uri.startswith(SQLITE) and not path.is_file():  # MLflow would create an empty store
        raise UserError(f"tracking.uri: found no runs, {str(path)!r} is not there; a training makes it")
    note(overridden(uri))
    with store.answering():
        store.client.search_experiments(max_results=1)
    return store.client


def studies(client: MlflowClient) -> dict[str, str]:
    """All studies (MLflow's experiments): ids by name."""
    return {experiment.name: experiment.experiment_id for experiment in pages(client.search_experiments)}


def study_ids(client: MlflowClient, names: str | list[str] | None, key: str, all_if_none: bool) -> list[str]:
    """The ids of the studies with these names.

    Args:
        client: client of the store.
        names: one name or several.
        key: config key that has the names, for messages.
        all_if_none: whether no names means all studies.

    Raises:
        ConfigError: about ``key``: a study does not exist, or no name is given although one is needed.
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
    """The runs of studies, oldest first: those that were started directly, and the jobs of sweeps.

    They are recognised by their tag ``seed``, which neither the parent run of a sweep nor a nested evaluation has.
    """
    runs = pages(client.search_runs, experiment_ids, filter_string, order_by=["attributes.start_time ASC"])
    return [run for run in runs if "seed" in run.data.tags]


def curve(client: MlflowClient, run_id: str, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """The frames (int64 [N], ascending) and values (float [N], without nan) of a metric.

    If there are several points at the same frames, the last written counts: a run that was resumed after a crash may
    have written some points twice.
    """
    history = sorted(client.get_metric_history(run_id, metric), key=lambda point: (point.step, point.timestamp))
    points = {point.step: point.value for point in history if point.value == point.value}
    return np.array(list(points), np.int64), np.array(list(points.values()), float)


def listed(names: list[str]) -> str:
    """Names for a message, at most `SHOWN` of them."""
    return " | ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def pages(search: Callable[..., PagedList[Any]], *args: object, **kwargs: object) -> list[Any]:
    """The results of all pages of a search: MLflow returns at most 1,000 at a time."""
    page = search(*args, **kwargs)
    results = list(page)
    while page.token:
        page = search(*args, page_token=page.token, **kwargs)
        results += page
    return results

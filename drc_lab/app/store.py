"""Access to MLflow's store, as the ``tracking`` group names it, for tasks that read from it. Light to import."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from drc_lab.errors import ConfigError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def store_uri(config: DictConfig) -> str:
    """Returns the URI of MLflow's store, for tasks that read from it.

    Raises:
        ConfigError: the config names no store.
    """
    uri = (config.get("tracking") or {}).get("uri")
    if uri is None:
        raise ConfigError("tracking.uri", None, "MLflow's store: tracking=mlflow")
    return str(uri)


def reading_client(config: DictConfig) -> "MlflowClient":
    """Returns a client of MLflow's store.

    Raises:
        UserError: there is no such store, or it does not answer.
    """
    from drc_lab.tracking.reading import open_store  # importing MLflow takes seconds, and local files do not need it

    return open_store(store_uri(config))


@contextmanager
def reading(config: DictConfig) -> "Iterator[MlflowClient]":
    """`reading_client` for what else a task asks MLflow; its errors within the context become one line, too."""
    from drc_lab.tracking.mlflow import Store

    client = reading_client(config)
    with Store(store_uri(config)).answering():
        yield client

"""Access to MLflow's store, as the ``tracking`` group names it, for tasks that read from it."""

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from drc_lab.app.checked import one_checkpoint, store_uri
from drc_lab.checkpoint_names import in_mlflow, local_file

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def reading_client(config: DictConfig) -> "MlflowClient":
    """Returns a client of MLflow's store.

    Raises:
        UserError: there is no such store, or it does not answer.
    """
    from drc_lab.tracking.reading import open_store  # importing MLflow takes seconds, and local files do not need it

    return open_store(store_uri(config))


def checkpoint_file(config: DictConfig, one: str | None = None) -> Path:
    """Returns the file of a checkpoint; one in MLflow is downloaded to ``root/models``.

    Args:
        config: the whole config.
        one: name of the checkpoint; None is the only one that ``checkpoint`` names.

    Raises:
        UserError: the file does not exist, MLflow does not have it or is away, or ``checkpoint`` does not name exactly
            one.
    """
    checkpoint = one or one_checkpoint(config)
    if not in_mlflow(checkpoint):
        return local_file(checkpoint)
    from drc_lab.tracking.fetch import fetch_checkpoint

    return fetch_checkpoint(reading_client(config), checkpoint, Path(config.root) / "models")

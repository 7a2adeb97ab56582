"""What tasks read from the store that ``tracking`` names."""

from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from drc_lab.app.checked import one_checkpoint, store_uri
from drc_lab.checkpoint_names import in_mlflow, local_file

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient


def reading_client(config: DictConfig) -> "MlflowClient":
    """A client of MLflow's store, which has to be there.

    Raises:
        UserError: it is not, or does not answer.
    """
    from drc_lab.tracking.reading import open_store  # MLflow takes seconds, and a local checkpoint does not need it

    return open_store(store_uri(config))


def checkpoint_file(config: DictConfig, one: str | None = None) -> Path:
    """The file of ``checkpoint``, or of one of several; one that MLflow has is downloaded to ``root/models``.

    Raises:
        UserError: MLflow does not have it, or is not there; or several are named where one is meant.
    """
    checkpoint = one or one_checkpoint(config)
    if not in_mlflow(checkpoint):
        return local_file(checkpoint)
    from drc_lab.tracking.fetch import fetch_checkpoint

    return fetch_checkpoint(reading_client(config), checkpoint, Path(config.root) / "models")

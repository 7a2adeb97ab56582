"""The ``tracking`` group of the config, checked."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrackingSpec:
    """Where a run is recorded.

    Args:
        uri: of MLflow's store or server; the folder of an SQLite file is made.
        artifacts: where artifacts go, None is the store's own choice (a server's, say).
    """

    uri: str
    artifacts: str | None = None

"""The ``tracking`` group of the config, checked."""

from dataclasses import dataclass
from importlib.util import find_spec

from drc_lab.errors import ConfigError


@dataclass(frozen=True)
class TrackingSpec:
    """Where a run is recorded, beside the journal in its own folder.

    Args:
        uri: of MLflow's store or server, None is no MLflow; the folder of an SQLite file is made.
        artifacts: where MLflow's artifacts go, None is the store's own choice. A server chooses for itself instead of
            a local folder.
        csv: whether the metrics also go to ``csv/metrics.csv`` in the run's folder.
        tensorboard: whether they also go to ``tensorboard/`` there.
        system_metrics_seconds: between two looks at processor, memory, disk and GPUs; None is never.
        patience_seconds: how long the end of a run waits for a server that is away.
    """

    uri: str | None = None
    artifacts: str | None = None
    csv: bool = False
    tensorboard: bool = False
    system_metrics_seconds: float | None = None
    patience_seconds: float = 60

    def __post_init__(self):
        if not self.patience_seconds >= 0:
            raise ConfigError("patience_seconds", self.patience_seconds, "at least 0")
        if self.tensorboard and find_spec("tensorboard") is None:
            raise ConfigError("tensorboard", True, "false, or: pip install drc-lab[tensorboard]")
        if self.system_metrics_seconds is not None and not self.system_metrics_seconds >= 1:
            raise ConfigError("system_metrics_seconds", self.system_metrics_seconds, "at least 1, or null")
        if self.uri == "":
            raise ConfigError("uri", self.uri, "where MLflow is; tracking=csv or tensorboard for none")

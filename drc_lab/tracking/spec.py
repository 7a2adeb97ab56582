"""The ``tracking``, ``register`` and ``compare`` groups of the config, checked."""

import re
from dataclasses import dataclass
from importlib.util import find_spec

from drc_lab.errors import ConfigError

LATEST = "latest"


@dataclass(frozen=True)
class TrackingSpec:
    """Where a run is recorded, in addition to the journal in its own folder.

    Args:
        uri: URI of MLflow's store or server; None is no MLflow. The folder of an SQLite file is created if needed.
        artifacts: where new experiments keep their artifacts; None is the store's default. A server ignores a local
            folder and uses its default.
        csv: whether metrics are also written to ``csv/metrics.csv`` in the run's folder.
        tensorboard: whether metrics are also written to ``tensorboard/`` in the run's folder.
        system_metrics_seconds: seconds between two measurements of processor, memory, disk, network and GPUs; None
            measures nothing.
        patience_seconds: how long the end of a run waits for a server that cannot be reached.
    """

    uri: str | None = None
    artifacts: str | None = None
    csv: bool = False
    tensorboard: bool = False
    system_metrics_seconds: float | None = None
    patience_seconds: float = 60

    def __post_init__(self) -> None:
        if not self.patience_seconds >= 0:
            raise ConfigError("patience_seconds", self.patience_seconds, "at least 0")
        if self.tensorboard and find_spec("tensorboard") is None:
            raise ConfigError("tensorboard", True, "false, or: pip install drc-lab[tensorboard]")
        if self.system_metrics_seconds is not None and not self.system_metrics_seconds >= 1:
            raise ConfigError("system_metrics_seconds", self.system_metrics_seconds, "at least 1, or null")
        if self.uri == "":
            raise ConfigError("uri", self.uri, "where MLflow is; tracking=csv or tensorboard for none")


@dataclass(frozen=True)
class RegisterSpec:
    """Which checkpoint is registered, and under which name.

    Args:
        run: ID or name of a run, or "latest" for the newest run that has a checkpoint.
        study: the study or studies to search; None is all.
        name: name of the registered model; None is ``drc-`` and the last part of the env's id.
        alias: alias that is moved to the version; None for none.
        metric: the checkpoint with the highest value of this metric is registered. None is the metric that the training
            ranked them by: ``valid/solve_rate``, or ``valid/return`` where the env reports no success.
    """

    run: str = LATEST
    study: str | list[str] | None = None
    name: str | None = None
    alias: str | None = "champion"
    metric: str | None = None

    def __post_init__(self) -> None:
        if self.name is not None and not re.fullmatch(r"\w[\w.-]*", self.name):  # MLflow allows more than its URIs
            raise ConfigError("name", self.name, "letters, digits, '-', '_' and '.'")
        if self.alias is not None and not re.fullmatch(r"(?!v\d+$)(?!(?i:latest)$)[\w-]{1,255}", self.alias):
            raise ConfigError("alias", self.alias, "letters, digits, '-' and '_', but not latest or v and a number")


@dataclass(frozen=True)
class CompareSpec:
    """Which runs are compared, and how.

    Args:
        study: the study or studies with the runs.
        metric: metric of the curves; None is ``valid/solve_rate``, or ``valid/return`` if no run has that.
        group: params that distinguish the groups; None is all that differ, except the seed.
        filter: filter string for runs, in MLflow's syntax.
        confidence: confidence level of the intervals over seeds.
    """

    study: str | list[str] | None = None
    metric: str | None = None
    group: str | list[str] | None = None
    filter: str = ""
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ConfigError("confidence", self.confidence, "between 0 and 1")

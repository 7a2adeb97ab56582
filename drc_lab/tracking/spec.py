"""The ``tracking``, ``register`` and ``compare`` groups of the config, checked."""

import re
from dataclasses import dataclass
from importlib.util import find_spec

from drc_lab.errors import ConfigError

LATEST = "latest"


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
    """What is registered as what.

    Args:
        run: an ID, a name, or "latest": the newest run that has a checkpoint.
        study: where the run is looked for; None is everywhere.
        name: of the registered model; None is ``drc-`` and the last part of the env's id.
        alias: that moves to the version; None for none.
        metric: of the checkpoints; that with the highest value is registered. None is what the training chose by:
            ``valid/solve_rate``, or ``valid/return`` where the env says no success.
    """

    run: str = LATEST
    study: str | list[str] | None = None
    name: str | None = None
    alias: str | None = "champion"
    metric: str | None = None

    def __post_init__(self) -> None:
        if self.name is not None and not re.fullmatch(r"\w[\w.-]*", self.name):  # MLflow takes more, URIs do not
            raise ConfigError("name", self.name, "letters, digits, '-', '_' and '.'")
        if self.alias is not None and not re.fullmatch(r"(?!v\d+$)(?!(?i:latest)$)[\w-]{1,255}", self.alias):
            raise ConfigError("alias", self.alias, "letters, digits, '-' and '_', but not latest or v and a number")


@dataclass(frozen=True)
class CompareSpec:
    """What is compared.

    Args:
        study: experiments.
        metric: of the curves; None is ``valid/solve_rate``, or ``valid/return`` where no run has that.
        group: params that set groups apart; None is all that differ but for the seed.
        filter: MLflow's filter string for runs.
        confidence: of the intervals over seeds.
    """

    study: str | list[str] | None = None
    metric: str | None = None
    group: str | list[str] | None = None
    filter: str = ""
    confidence: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ConfigError("confidence", self.confidence, "between 0 and 1")

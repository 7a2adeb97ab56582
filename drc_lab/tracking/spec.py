"""The ``tracking``, ``register`` and ``compare`` groups of the config, checked."""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated

from annotated_types import Ge, MinLen

from drc_lab.arguments import Spec
from drc_lab.errors import ConfigError
from drc_lab.rules import NUMBER, Confidence, NotNegativeReal

LATEST = "latest"


@dataclass(frozen=True)
class TrackingSpec(Spec):
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

    uri: Annotated[str | None, MinLen(1), "where MLflow is, as text; tracking=csv or tensorboard for none"] = None
    artifacts: str | None = None
    csv: bool = False
    tensorboard: bool = False
    system_metrics_seconds: Annotated[float, NUMBER, Ge(1)] | None = None
    patience_seconds: NotNegativeReal = 60

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.uri in ("sqlite:", "sqlite://", "sqlite:///", "sqlite:///:memory:"):
            raise ConfigError("uri", self.uri, "sqlite:///FILE: what is kept in memory is lost")
        if self.tensorboard and find_spec("tensorboard") is None:
            raise ConfigError("tensorboard", True, "false, or: pip install drc-lab[tensorboard]")


@dataclass(frozen=True)
class RegisterSpec(Spec):
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
        super().__post_init__()
        if self.name is not None and not re.fullmatch(r"\w[\w.-]*", self.name):  # MLflow allows more than its URIs
            raise ConfigError("name", self.name, "letters, digits, '-', '_' and '.'")
        if self.alias is not None and not re.fullmatch(r"(?!v\d+$)(?!(?i:latest)$)[\w-]{1,255}", self.alias):
            raise ConfigError("alias", self.alias, "letters, digits, '-' and '_', but not latest or v and a number")


@dataclass(frozen=True)
class CompareSpec(Spec):
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
    confidence: Confidence = 0.95

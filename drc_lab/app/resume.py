"""Where a training begins: anew, or where the one in its folder stopped."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from drc_lab.app.checked import CONFIG, resumed
from drc_lab.arguments import plain
from drc_lab.checkpoint_names import FOLDER, LAST
from drc_lab.config import completed
from drc_lab.errors import ConfigError
from drc_lab.learning.checkpoints import read_checkpoint
from drc_lab.learning.rollout_spec import RolloutSpec
from drc_lab.learning.validation import HeldOutEvaluation, best_of
from drc_lab.tracking.journal import last_status
from drc_lab.tracking.mlflow import flatten

SAME = ("env", "policy", "algo", "seed", "checkpoint")  # groups of the config that the state of a training depends on
# But for how fast it is collected. `RolloutStream` compares the number of groups itself, as null depends on the device.
FREE = ("algo.rollouts.groups", "algo.rollouts.cuda_graph", "algo.loss.threads")


@dataclass(frozen=True)
class Beginning:
    """Where a training begins.

    Args:
        folder: of the run.
        checkpoint: to go on from; None begins anew.
        trained: whether that one is of a training's end.
        finished: whether the whole task came to its end, its record included.
        best: held-out solve rate before the checkpoint, or return where the env says no success.
        result: of the last held-out evaluation before it.
        same_run: whether what is recorded is the run of that folder, if there is one.
    """

    folder: Path
    checkpoint: Path | None = None
    trained: bool = False
    finished: bool = False
    best: float = math.nan
    result: Mapping[str, float] = field(default_factory=dict)
    same_run: bool = True

    @property
    def checkpoints(self) -> Path:
        return self.folder / FOLDER


def beginning(config: DictConfig, folder: Path) -> Beginning:
    """What ``resume`` comes to.

    ``auto`` goes on with ``folder``, also where no checkpoint was written yet. ``never`` begins anew. A path goes on in
    the folder of the run that it is from; where that has come to its end and is now to be evaluated otherwise, or where
    the file lies elsewhere, it goes on in ``folder`` as a new run.

    Raises:
        ConfigError: no such choice, or the training that would go on is another one.
        UserError: no file, or no checkpoint.
    """
    choice = resumed(config)
    if choice == "never":
        return Beginning(folder, same_run=False)
    path = folder / FOLDER / LAST if choice == "auto" else Path(choice)
    if choice == "auto" and not path.exists():
        return Beginning(folder)
    state = read_checkpoint(path, "resume")
    if "loops" not in state:
        raise ConfigError("resume", str(path), "a checkpoint that a training wrote; this one holds weights alone")
    which = f"{folder} holds (resume=never begins anew there)" if choice == "auto" else f"resume={path} began"
    check_same_training(state["config"], config, which)
    trained, own = bool(state.get("finished")), path.resolve().parents[1]
    if choice != "auto":
        recorded = own / CONFIG
        if not recorded.is_file() or (trained and recorded_evaluation(recorded) != config.evaluation):
            return Beginning(folder, path, trained, same_run=False)
        folder = own
    worth = state["callbacks"][HeldOutEvaluation.__qualname__]
    finished = trained and last_status(folder) == "FINISHED"
    return Beginning(folder, path, trained, finished, best_of(worth), worth["result"])


def recorded_evaluation(path: Path) -> Any:
    """The ``evaluation`` group of a run's config.yaml."""
    return OmegaConf.select(OmegaConf.load(path), "evaluation")


def check_same_training(before: dict[str, Any], now: DictConfig, which: str) -> None:
    """A run goes on with the settings it began with, or its state would not fit or, worse, fit and mislead.

    Args:
        before: the checkpoint's config.
        which: the run it is of, in words.

    Raises:
        ConfigError: naming the first key that differs.
    """
    old, new = (flatten(_with_defaults(config)) for config in (before, plain(now)))
    for key in sorted(old | new):
        if key.split(".")[0] in SAME and key not in FREE and old.get(key) != new.get(key):
            raise ConfigError(key, new.get(key), f"{old.get(key)!r}, as in the run that {which}")


def _with_defaults(config: dict[str, Any]) -> dict[str, Any]:
    """The config with the keys that are newer than it, as they are without being named."""
    rollouts = {field.name: field.default for field in fields(RolloutSpec)} | config["algo"]["rollouts"]
    return config | {"env": completed(config["env"]), "algo": config["algo"] | {"rollouts": rollouts}}

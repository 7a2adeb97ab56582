"""Where a training starts: from scratch, or from where the training in its folder stopped."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from drc_lab.app.as_trained import recorded_config
from drc_lab.app.checkpoints import resume_choice
from drc_lab.app.settings import CONFIG
from drc_lab.app.start import say
from drc_lab.arguments import plain
from drc_lab.checkpoint_names import FOLDER, LAST
from drc_lab.config import completed
from drc_lab.errors import ConfigError, UserError
from drc_lab.learning.checkpoints import newest_whole, read_checkpoint
from drc_lab.learning.rollout_spec import RolloutSpec
from drc_lab.learning.validation import HeldOutEvaluation, best_of
from drc_lab.renamed import with_new_names
from drc_lab.tracking.journal import last_status
from drc_lab.tracking.mlflow import flatten

SAME = ("env", "policy", "algo", "seed", "checkpoint")  # groups of the config that the state of a training depends on
# Keys in them that may change, as they only affect speed. `RolloutStream` itself compares the number of groups, as
# what null means depends on the device.
FREE = ("algo.rollouts.groups", "algo.rollouts.cuda_graph", "algo.loss.threads")


@dataclass(frozen=True)
class Beginning:
    """Where a training starts.

    Args:
        folder: of the run.
        checkpoint: to resume from; None starts from scratch.
        trained: whether that checkpoint is from the end of its training.
        finished: whether the whole task is finished, its record included.
        best: best held-out solve rate before the checkpoint, or return if the env does not report success.
        result: metrics of the last held-out evaluation before the checkpoint.
        same_run: whether the recorded run of that folder, if there is one, is resumed.
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
    """Decides from ``resume`` where a training starts.

    ``auto`` resumes the run in ``folder``, even if it has no checkpoint yet; without a last one from the newest.
    ``never`` starts from scratch. The path of a checkpoint resumes the run that the checkpoint belongs to, in that
    run's folder. It becomes a new run in ``folder`` if the checkpoint no longer lies in a run's folder, or if its
    training is finished and is now evaluated with other settings.

    Raises:
        ConfigError: ``resume`` is invalid, or the settings differ from those of the training to be resumed.
        UserError: the file does not exist, is damaged or is no checkpoint.
    """
    choice = resume_choice(config)
    if choice == "never":
        return Beginning(folder, same_run=False)
    path = folder / FOLDER / LAST if choice == "auto" else Path(choice)
    if choice == "auto" and not path.exists():
        if not list(path.parent.glob("*.ckpt")):
            return Beginning(folder)
        # A best one was written, and a kill came before the first last one; or somebody removed the last one.
        if (newest := newest_whole(path.parent)) is None:
            raise UserError(f"resume: found no whole checkpoint in {str(path.parent)!r}; resume=never begins anew")
        path = newest[1]
        say(f"{path.parent} has no {LAST}; the training goes on from {path.name}")
    state = read_checkpoint(path, "resume")
    if "loops" not in state:
        raise ConfigError("resume", str(path), "a checkpoint that a training wrote; this one holds weights alone")
    which = f"{folder} holds (resume=never begins anew there)" if choice == "auto" else f"resume={path} began"
    check_same_training(state["config"], config, which)
    trained, folder_of_path = bool(state.get("finished")), path.resolve().parents[1]
    if choice != "auto":
        recorded = folder_of_path / CONFIG
        if not recorded.is_file() or (trained and evaluation_of(recorded, state) != config.evaluation):
            return Beginning(folder, path, trained, same_run=False)
        folder = folder_of_path
    held_out = state["callbacks"][HeldOutEvaluation.__qualname__]
    finished = trained and last_status(folder) == "FINISHED"
    return Beginning(folder, path, trained, finished, best_of(held_out), held_out["result"])


def evaluation_of(path: Path, state: Mapping[str, Any]) -> Any:
    """Returns the ``evaluation`` group of a run's config.yaml; that of its checkpoint if the file is damaged."""
    recorded = recorded_config(path)
    return OmegaConf.select(OmegaConf.create(state["config"]) if recorded is None else recorded, "evaluation")


def check_same_training(before: dict[str, Any], now: DictConfig, which: str) -> None:
    """Checks that a resumed training has the settings it started with. With others its state might not fit or, worse,
    fit and give misleading results.

    Args:
        before: the checkpoint's config.
        now: the current config.
        which: describes the run that the checkpoint is from, for the error.

    Raises:
        ConfigError: about the first key that differs.
    """
    old, new = (flatten(_with_defaults(config)) for config in (before, plain(now)))
    for key in sorted(old | new):
        if key.split(".")[0] in SAME and key not in FREE and old.get(key) != new.get(key):
            raise ConfigError(key, new.get(key), f"{old.get(key)!r}, as in the run that {which}")


def _with_defaults(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the config with defaults for env and rollout keys that are newer than it."""
    rollouts = {field.name: field.default for field in fields(RolloutSpec)} | with_new_names(
        config["algo"]["rollouts"], "algo.rollouts"
    )
    return config | {"env": completed(config["env"]), "algo": config["algo"] | {"rollouts": rollouts}}

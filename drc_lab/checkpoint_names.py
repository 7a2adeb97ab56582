"""Names of checkpoints: files, checkpoints in MLflow, and agents that come with the package. Light to import."""

import os
import re
from pathlib import Path

from drc_lab.errors import ConfigError, UserError
from drc_lab.paths import AGENTS

FOLDER = "checkpoints"  # the folder of checkpoints, in a run's folder and in its artifacts
LAST = "last.ckpt"  # the checkpoint from which a training resumes
MODEL = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/]+)|/(?P<version>\d+))")
RUN = re.compile(rf"runs:/(?P<run>[^/]+)/(?P<path>{FOLDER}/[^/]+)")
AGENT = "agents:/"
ALLOWED = f"a file, agents:/NAME, models:/NAME@ALIAS, models:/NAME/VERSION or runs:/ID/{FOLDER}/FILE"


def in_mlflow(checkpoint: str) -> bool:
    """Whether a checkpoint is named as one in MLflow (models:/ or runs:/).

    Raises:
        ConfigError: the name begins like one in MLflow, but is malformed.
    """
    if not checkpoint.startswith(("models:", "runs:")):
        return False
    if not (MODEL.fullmatch(checkpoint) or RUN.fullmatch(checkpoint)):
        raise ConfigError("checkpoint", checkpoint, ALLOWED)
    return True


def agents() -> list[str]:
    """Names of the trained agents that come with the package."""
    return sorted(path.stem for path in AGENTS.glob("*.ckpt"))


def local_file(checkpoint: str, key: str = "checkpoint") -> Path:
    """The file of a checkpoint that is not in MLflow.

    Args:
        checkpoint: path of a file, or agents:/NAME.
        key: config key that names the checkpoint, for messages.

    Raises:
        UserError: there is no such file, or no such agent.
    """
    if checkpoint.startswith("agents:"):
        name = checkpoint.removeprefix(AGENT)
        if name not in agents():
            raise ConfigError(key, checkpoint, " | ".join(AGENT + name for name in agents()))
        return AGENTS / f"{name}.ckpt"
    check_file(checkpoint, key)
    return Path(checkpoint)


def check_file(path: str | Path, key: str = "checkpoint") -> None:
    """Raises a UserError if there is no such file; ``key`` is the config key that names it."""
    if not os.path.isfile(path):
        raise UserError(f"{key}: found no file {str(path)!r}, allowed: a .ckpt file that a training wrote")

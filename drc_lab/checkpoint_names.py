"""How a checkpoint can be named: a file, or what MLflow has. Light to import."""

import re
from pathlib import Path

from drc_lab.errors import ConfigError, UserError

FOLDER = "checkpoints"  # in a run's folder, and in its artifacts
MODEL = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/]+)|/(?P<version>\d+))")
RUN = re.compile(rf"runs:/(?P<run>[^/]+)/(?P<path>{FOLDER}/[^/]+)")
ALLOWED = f"a file, models:/NAME@ALIAS, models:/NAME/VERSION or runs:/ID/{FOLDER}/FILE"


def in_mlflow(checkpoint: str) -> bool:
    """Whether that is the name of one that MLflow has.

    Raises:
        ConfigError: it is meant to be one, and is none.
    """
    if not checkpoint.startswith(("models:", "runs:")):
        return False
    if not (MODEL.fullmatch(checkpoint) or RUN.fullmatch(checkpoint)):
        raise ConfigError("checkpoint", checkpoint, ALLOWED)
    return True


def check_file(path: str | Path, key: str = "checkpoint") -> None:
    """A UserError if there is no such file; ``key`` is what names it in the config."""
    if not Path(path).is_file():
        raise UserError(f"{key}: found no file {str(path)!r}, allowed: a .ckpt file that a training wrote")

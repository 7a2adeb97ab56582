"""What a process knows of the command line that started it: which job of a sweep it is, and what it was told."""

import os

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

# The environment reaches the jobs of every launcher.
SWEEP = "DRC_LAB_SWEEP"  # a name that no other sweep has
PARENT = "DRC_LAB_SWEEP_RUN"  # the MLflow run above the jobs


def in_sweep() -> bool:
    """Whether this process runs a job of ``-m``."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def job() -> str | None:
    """A name of this job that no other one has, of whatever sweep on whatever machine; None outside of sweeps."""
    return f"{os.environ[SWEEP]}/{HydraConfig.get().job.num}" if in_sweep() and SWEEP in os.environ else None


def words() -> list[str]:
    """What this process was told after ``python -m drc_lab``: a folder of the user's own configs, and overrides."""
    config = HydraConfig.get()
    own = [source.path for source in config.runtime.config_sources if source.provider == "command-line"]
    paths = [override for override in config.overrides.hydra if override.startswith("hydra.searchpath=")]
    return [
        *(word for folder in own for word in ("--config-dir", os.path.relpath(folder))),
        *paths,
        *config.overrides.task,
    ]

"""The parent run of a sweep (``-m``): one MLflow run above all jobs, opened before the first of them starts.

Light to import: Hydra builds its callbacks in every process, ``--help`` included.
"""

import os
import sys
import traceback
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from drc_lab.errors import UserError, complain
from drc_lab.files import remove_empty
from drc_lab.launch import PARENT, SWEEP, in_sweep
from drc_lab.passwords import moved_to_environment

opened = ExitStack()  # holds the parent run; the command line closes it, with the outcome


class SweepRun(Callback):
    """Hydra callback that opens the parent run and passes its id on to the jobs."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        try:
            _open(config)
        # Hydra would only warn of an exception in a callback and go on without the run. It lets SystemExit pass.
        except UserError as error:
            sys.exit(complain(error))
        except Exception:
            traceback.print_exc()
            sys.exit(1)


def _open(config: DictConfig) -> None:
    from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE

    from drc_lab.app.settings import Settings
    from drc_lab.app.start import say
    from drc_lab.process import quieten_libraries
    from drc_lab.tracking.descriptions import SWEEP as SWEEP_NOTE
    from drc_lab.tracking.multirun import sweep_run
    from drc_lab.tracking.naming import run_name

    quieten_libraries()
    _move_password(config)
    folder = Path(config.hydra.sweep.dir)
    tracking = Settings(config).tracking
    opened.callback(_remove_unused, folder)
    tags = {"task": config.task, "sweep": folder.name, MLFLOW_RUN_NOTE: SWEEP_NOTE}
    outlive = config.hydra.runtime.choices["hydra/launcher"] == "submitit_slurm"
    changes = run_name(config.hydra.overrides.task, set(config.hydra.runtime.choices), str(config.study), config.seed)
    name = str(config.name or changes)
    run_id = opened.enter_context(sweep_run(tracking, folder, config.study, name, tags, outlive, say))
    for name, value in ((SWEEP, uuid.uuid4().hex), (PARENT, run_id)):
        if value is not None:
            os.environ[name] = value
            opened.callback(os.environ.pop, name)
    make_folder_of(config.hydra.sweeper.get("storage"))


def _move_password(config: DictConfig) -> None:
    """Moves the password of a store that a file of the user's names, as Hydra writes the whole config of a sweep."""
    if "tracking" in config and not OmegaConf.is_interpolation(config.tracking, "uri") and config.tracking.get("uri"):
        (config.tracking.uri,) = moved_to_environment([config.tracking.uri])


def _remove_unused(folder: Path) -> None:
    """Removes a sweep's folder if no job left anything in it."""
    if folder.is_dir() and {path.name for path in folder.iterdir()} <= {"multirun.yaml"}:
        (folder / "multirun.yaml").unlink(missing_ok=True)
        remove_empty(folder)


def make_folder_of(storage: str | None) -> None:
    """Creates the folder of the SQLite file that an Optuna study is stored in, if ``storage`` is one."""
    if storage is not None and storage.startswith("sqlite:///"):
        Path(storage.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)


def job_tags() -> dict[str, str]:
    """Returns the tags that make a run a child of its sweep's run and identify the job; {} outside a sweep."""
    if not in_sweep() or PARENT not in os.environ:
        return {}
    hydra = HydraConfig.get()
    overrides = " ".join(hydra.overrides.task)
    return {"mlflow.parentRunId": os.environ[PARENT], "sweep.job": str(hydra.job.num), "sweep.overrides": overrides}

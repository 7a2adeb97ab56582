"""Before the first job of a sweep (``-m``) starts: all jobs are checked, and one MLflow run above them is opened.

Light to import: Hydra builds its callbacks in every process, ``--help`` included.
"""

import os
import sys
import traceback
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict

from drc_lab.composing import checked_job
from drc_lab.errors import UserError, complain
from drc_lab.files import remove_empty
from drc_lab.hydra_errors import hydra_in_one_line
from drc_lab.launch import PARENT, SWEEP, config_folders, in_a_row, in_sweep, typed
from drc_lab.passwords import moved_to_environment

opened = ExitStack()  # holds the parent run; the command line closes it, with the outcome


class SweepRun(Callback):
    """Hydra callback that checks the jobs, opens the parent run and passes its id on to the jobs."""

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        try:
            if in_a_row(config.hydra):
                check_jobs(config)
            _open(config)
        # Hydra would only warn of an exception in a callback and go on without the run. It lets SystemExit pass.
        except UserError as error:
            sys.exit(complain(error))
        except Exception:
            traceback.print_exc()
            sys.exit(1)


def check_jobs(config: DictConfig) -> None:
    """Checks the configs of all jobs, where one with a mistake would end those that come after it.

    Args:
        config: of the sweep, which runs its jobs in a row (`drc_lab.launch.in_a_row`).

    Raises:
        UserError: about the first mistake.
    """
    from drc_lab.progress import tracked

    loader, before = GlobalHydra.instance().config_loader(), HydraConfig.instance().cfg
    words = [*(f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()), *typed(config.hydra)]
    try:
        with hydra_in_one_line(words, config_folders()):
            overrides = OverridesParser.create(loader).parse_overrides(words)
            (jobs,) = BasicSweeper.split_arguments(overrides, max_batch_size=None)
            if not jobs:
                raise UserError(f"-m: found no job in {' '.join(words)!r}, allowed: at least one value of each key")
            for number, of_job in enumerate(tracked(jobs, "checking all jobs")):
                job = loader.load_sweep_config(config, of_job)
                with open_dict(job):
                    job.hydra.job.num = number
                    HydraConfig.instance().set_config(job)
                    folder = Path(job.hydra.sweep.dir, job.hydra.sweep.subdir)
                    del job["hydra"]
                checked_job(job, folder)
    finally:
        HydraConfig.instance().cfg = before


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

"""The command line: ``python -m drc_lab [group=option] [key=value] [+experiment=name]``.

Exit codes: 0 success; 2 a mistake of the user, reported in one line; 130 stopped by Ctrl-C; 75 stopped by a scheduler's
signal (the same command resumes); 1 a training that diverged or lost a rank, or a disk that took no more, each in one
line, or an internal error.
"""

import gc
import os
import signal
import string
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from drc_lab.app.multirun import opened
from drc_lab.composing import checked_job, debug_last, implied, import_task
from drc_lab.errors import Failed, UserError, complain
from drc_lab.files import remove_empty
from drc_lab.hydra_errors import hydra_in_one_line
from drc_lab.launch import config_folders, in_a_row, in_sweep
from drc_lab.passwords import leave_process_list, moved_to_environment
from drc_lab.paths import CONF
from drc_lab.renamed import renamed_words
from drc_lab.signals import STOPPING, Stopped, stop_at_once
from drc_lab.targets import add_current_folder

OWN_CONFIGS = "DRC_LAB_CONFIGS"  # environment variable with the default of --config-dir


def run_task(config: DictConfig) -> Any:
    """Runs the task that the config names, in the folder that Hydra created.

    Returns:
        what the task returns; for a training this is the objective of a sweep.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        add_current_folder(HydraConfig.get().runtime.cwd)  # the command's folder: a job may run in another process
        settings = checked_job(config, folder)
        return import_task(config.task).main(settings, folder)
    except UserError as error:
        if in_sweep() and not in_a_row(HydraConfig.get()):
            raise  # the process that started this job reports it
        sys.exit(complain(error))
    except Stopped as stop:
        put_back(stop)
        raise
    except Failed as error:
        sys.exit(complain(error))
    finally:
        # The folder as it was typed: a/../b made a, too.
        remove_empty(folder if in_sweep() else Path(HydraConfig.get().run.dir))


def put_back(stop: Stopped) -> None:
    """Requeues a stopped job of submitit's, by raising the signal whose handler in submitit does that."""
    if "SUBMITIT_EXECUTOR" in os.environ and stop.by != signal.SIGINT:
        signal.raise_signal(getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"))


def help_text(overrides: list[str]) -> str:
    """The text that Hydra would print for ``--help``, made faster.

    To list the config groups, Hydra copies all configs many times.
    """
    folders = config_folders()
    groups: dict[str, set[str]] = {}
    for path in (path for folder in folders for path in folder.glob("*/*.yaml")):
        groups.setdefault(path.parent.name, set()).add(path.stem)
    of_user = ",".join(f"'file://{folder}'" for folder in folders[:-1])
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("config", [*overrides, f"hydra.searchpath=[{of_user}]"], return_hydra_config=True)
    template = string.Template(config.hydra.help.template)
    with open_dict(config):
        del config["hydra"]
    options = "".join(f"{group}: {', '.join(sorted(groups[group]))}\n" for group in sorted(groups))
    return template.substitute(APP_CONFIG_GROUPS=options, CONFIG=OmegaConf.to_yaml(config))


def arranged(arguments: list[str]) -> list[str]:
    """The arguments with all options before all overrides, with the overrides that these imply, and with new names.

    Hydra accepts overrides only in one contiguous block, and Lightning appends more of them for the ranks that it
    starts.
    """
    parser = get_args_parser()
    parser.error = _wrong_option  # type: ignore[method-assign]  # argparse would print all options, too
    overrides = parser.parse_intermixed_args(arguments).overrides
    options = list(arguments)
    for override in overrides:
        options.remove(override)
    return [*options, *renamed_words([*debug_last(overrides), *implied(overrides)])]


def _wrong_option(message: str) -> NoReturn:
    raise UserError(f"{message}; allowed: what --hydra-help lists")


def main() -> None:
    """Entry point: composes the config, runs the task, and reports mistakes in one line with an exit code."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for number in set(STOPPING) - {signal.SIGINT}:
        signal.signal(number, stop_at_once)  # the run ends as KILLED, like after Ctrl-C
    os.environ["HYDRA_FULL_ERROR"] = "1"  # makes Hydra raise its exceptions instead of printing them and exiting with 1
    leave_process_list()
    add_current_folder()
    try:
        sys.argv[1:] = arranged(moved_to_environment(sys.argv[1:]))
        if (of_user := os.environ.get(OWN_CONFIGS)) and config_folders() == [CONF]:
            sys.argv[1:1] = ["--config-dir", of_user]
        with hydra_in_one_line(sys.argv[1:], config_folders()):
            if (asked := get_args_parser().parse_args(sys.argv[1:])).help and not asked.resolve:
                print(help_text(asked.overrides))
                return
            with opened:
                hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(run_task)()
    except UserError as error:  # from Hydra, or from a job in another process
        sys.exit(complain(error))
    except OSError as error:
        if any(frame.f_code is run_task.__code__ for frame, _ in traceback.walk_tb(error.__traceback__)):
            raise
        sys.exit(complain(f"folder: {error.filename}: {error.strerror}"))  # Hydra could not create it
    except KeyboardInterrupt as stop:
        sys.exit(complain(f"stopped. {stop}".rstrip(), getattr(stop, "exit_code", 130)))


if __name__ == "__main__":
    main()
    gc.freeze()  # saves time: the interpreter collects garbage twice when it shuts down

"""The command line: ``python -m drc_lab [group=option] [key=value] [+experiment=name]``.

Exit codes: 0 done; 2 the user's mistake, told in one line; 130 stopped by Ctrl-C; 75 stopped by a scheduler's signal
(the same command goes on); 1 an error of ours, or a training that diverged.
"""

import difflib
import gc
import os
import re
import signal
import string
import sys
import traceback
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from drc_lab.errors import ConfigError, Diverged, UserError, complain
from drc_lab.files import remove_empty
from drc_lab.launch import in_sweep
from drc_lab.paths import CONF
from drc_lab.signals import STOPPING, Stopped, stop_at_once
from drc_lab.targets import add_current_folder, drop_replaced, taken
from drc_lab.tasks.sweep import opened

TASKS = (
    "train",
    "evaluate",
    "thinking",
    "thinking_sweep",
    "probe",
    "steer",
    "saliency",
    "play",
    "fetch_levels",
    "make_bank",
    "export",
    "env_speed",
    "search_speed",
    "policy_speed",
    "benchmark",
    "import_weights",
    "compare",
    "register",
    "sync",
)
OWN_CONFIGS = "DRC_LAB_CONFIGS"  # the environment's --config-dir
ENV_GROUPS = {"drc_lab/RicochetRobots-v0": "ricochet", "drc_lab/Sokoban-v0": "sokoban"}


def run_task(config: DictConfig) -> Any:
    """Runs the task that the config names, in the folder that Hydra made.

    Returns:
        what the task returns; of a training, the objective of a sweep.
    """
    folder = Path(HydraConfig.get().runtime.output_dir)
    try:
        if config.task not in TASKS:
            raise ConfigError("task", config.task, " | ".join(TASKS))
        add_current_folder(HydraConfig.get().runtime.cwd)  # of the command; a job may be in another process
        drop_replaced(config, HydraConfig.get().overrides.task)
        from drc_lab.check import check_config  # not for --help, nor for a key that is not there

        check_config(config, folder)
        from drc_lab.progress import working

        with working("starting"):
            task = import_task(config.task)
        return task.main(config, folder)
    except UserError as error:
        if in_sweep() and not in_a_row():
            raise  # to the process that started this job
        sys.exit(complain(error))
    except Stopped as stop:
        put_back(stop)
        raise
    except Diverged as error:
        sys.exit(complain(error, code=1))
    finally:
        remove_empty(folder)


def import_task(task: str) -> ModuleType:
    """A task's module, with torch and MLflow, which take seconds: only once the config is known to be good.

    They make half a million objects, all of which stay. Python would search them for garbage again and again, while
    they are imported and later, which is a seventh of the wait for a short task.
    """
    name = f"drc_lab.tasks.{task}"
    if name in sys.modules:  # of an earlier job, whose garbage is to be found
        return sys.modules[name]
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.enable()


def put_back(stop: Stopped) -> None:
    """Lets submitit put a job of its own that was stopped back into the queue, as its handler of this signal does."""
    if "SUBMITIT_EXECUTOR" in os.environ and stop.by != signal.SIGINT:
        signal.raise_signal(getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}"))


def in_a_row() -> bool:
    """Whether jobs run one after the other in this process, so that the first mistake can end them all."""
    choices = HydraConfig.get().runtime.choices
    return choices["hydra/launcher"] == choices["hydra/sweeper"] == "basic"


def one_line(error: Exception) -> str:
    """An error of Hydra or OmegaConf in one line, with the closest keys where a key does not exist."""
    text = " ".join(str(error).split("Config search path")[0].split())
    if text.startswith("Could not override '"):
        key, folders = text.split("'")[1], config_folders()
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            groups = {path.name for folder in folders for path in folder.iterdir() if path.is_dir()}
            words = [word for word in sys.argv[1:] if word.split("=")[0].lstrip("+") in groups]
            said = OverridesParser.create().parse_overrides(words)
            chosen = [str(one.input_line) for one in said if not one.is_sweep_override()]  # their keys alone
            own = ",".join(f"'file://{folder}'" for folder in folders[:-1])
            config = hydra.compose("config", overrides=[*chosen, f"hydra.searchpath=[{own}]"])
            known = _keys(dict(OmegaConf.to_container(config, resolve=False)))  # type: ignore[arg-type]
        try:
            known = _with_own_targets(known, sys.argv[1:])
        except ConfigError as error:  # of a target that is not there
            return str(error)
        same_group = [k for k in known if k.split(".")[0] == key.split(".")[0]]  # another may have the very same name
        close = difflib.get_close_matches(key, same_group, 3) or difflib.get_close_matches(key, known, 3)
        close = close or [k for k in known if k.endswith(key.split(".")[-1])]
        hint = f"closest: {', '.join(close)}" if close else "see --help"
        return f"{key}: no such key; {hint} (a new key needs a leading +)"
    if found := re.fullmatch(r"In 'config': Could not load '(\w+)/(.*)'\.", text):  # what it says of one of several
        group, option = found.groups()
        options = sorted({path.stem for folder in config_folders() for path in (folder / group).glob("*.yaml")})
        return f"{group}: found {option!r}, allowed: {' | '.join(options)}"
    return text


def config_folders() -> list[Path]:
    """Where configs are looked for: a folder of the user's own comes first."""
    own = get_args_parser().parse_args(sys.argv[1:]).config_dir
    return [*([Path(own).absolute()] if own else []), CONF]


def _with_own_targets(known: list[str], arguments: list[str]) -> list[str]:
    """The keys, where targets that the command line names have theirs in the place of their predecessors'."""
    for argument in arguments:
        if found := re.fullmatch(r"\+*([\w.]+)\._target_=([^,]+)", argument):
            names = taken(found[2], f"{found[1]}._target_")
            if names is not None:
                own = [f"{found[1]}.{name}" for name in names]
                known = [key for key in known if not key.startswith(f"{found[1]}.")] + own
    return known


def _keys(config: dict) -> list[str]:
    keys = []
    for key, value in config.items():
        keys.append(str(key))
        if isinstance(value, dict):
            keys += [f"{key}.{inner}" for inner in _keys(value)]
    return keys


def help_text(overrides: list[str]) -> str:
    """What Hydra would print for ``--help``, sooner: for its list of groups it copies all configs many times over."""
    folders = config_folders()
    groups: dict[str, set[str]] = {}
    for path in (path for folder in folders for path in folder.glob("*/*.yaml")):
        groups.setdefault(path.parent.name, set()).add(path.stem)
    own = ",".join(f"'file://{folder}'" for folder in folders[:-1])
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("config", [*overrides, f"hydra.searchpath=[{own}]"], return_hydra_config=True)
    template = string.Template(config.hydra.help.template)
    with open_dict(config):
        del config["hydra"]
    options = "".join(f"{group}: {', '.join(sorted(groups[group]))}\n" for group in sorted(groups))
    return template.substitute(APP_CONFIG_GROUPS=options, CONFIG=OmegaConf.to_yaml(config))


def implied(arguments: list[str]) -> list[str]:
    """Choices of config groups that go without saying: ``env.id=CartPole-v1`` means the group for foreign envs, say."""
    given = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    more = []
    if "env.id" in given and "env" not in given and "+experiment" not in given:
        more.append(f"env={ENV_GROUPS.get(given['env.id'], 'gym')}")
    if given.get("task") == "import_weights" and not {"env", "env.id", "+experiment"} & set(given):
        more.append("env=sokoban")
    if given.get("task") == "fetch_levels" and "data" not in given:
        more.append("data=boxoban")
    return more


def debug_last(overrides: list[str]) -> list[str]:
    """The same with ``+debug=`` after ``+experiment=``: of two, the later one goes over the other."""
    experiments = [i for i, override in enumerate(overrides) if override.startswith("+experiment=")]
    end = max(experiments, default=-1) + 1
    return sorted(overrides[:end], key=lambda override: override.startswith("+debug=")) + overrides[end:]


def arranged(arguments: list[str]) -> list[str]:
    """Options before all overrides, in whatever order they were given: Hydra takes overrides in one piece only, and
    Lightning puts more at the end for the ranks that it starts."""
    overrides = get_args_parser().parse_intermixed_args(arguments).overrides
    options = list(arguments)
    for override in overrides:
        options.remove(override)
    return [*options, *debug_last(overrides), *implied(overrides)]


def main() -> None:
    """Entry point: composes the config, runs the task, and turns mistakes into one line and an exit code."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for number in set(STOPPING) - {signal.SIGINT}:
        signal.signal(number, stop_at_once)  # ends a run as KILLED, as Ctrl-C does
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its exceptions on, instead of printing them and exiting with 1
    sys.argv[1:] = arranged(sys.argv[1:])
    if (own := os.environ.get(OWN_CONFIGS)) and config_folders() == [CONF]:
        sys.argv[1:1] = ["--config-dir", own]
    add_current_folder()
    try:
        if (asked := get_args_parser().parse_args(sys.argv[1:])).help and not asked.resolve:
            print(help_text(asked.overrides))
            return
        with opened:
            hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(run_task)()
    except UserError as error:  # of a job in another process
        sys.exit(complain(error))
    except (HydraException, OmegaConfBaseException) as error:
        sys.exit(complain(one_line(error)))
    except ValueError as error:
        if not str(error).startswith("Config group override"):  # Hydra's, of env=3
            raise
        sys.exit(complain(one_line(error)))
    except OSError as error:
        if any(frame.f_code is run_task.__code__ for frame, _ in traceback.walk_tb(error.__traceback__)):
            raise
        sys.exit(complain(f"folder: {error.filename}: {error.strerror}"))  # Hydra could not make it
    except KeyboardInterrupt as stop:
        sys.exit(complain(f"stopped. {stop}".rstrip(), getattr(stop, "exit_code", 130)))


if __name__ == "__main__":
    main()
    gc.freeze()  # or the interpreter's end looks for garbage, twice

"""How a run is recorded: its name, its tags and the levels that it uses."""

import platform
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from mlflow.utils.mlflow_tags import MLFLOW_RUN_NOTE
from omegaconf import DictConfig

import drc_lab
from drc_lab.app.settings import Settings
from drc_lab.app.start import say
from drc_lab.envs.interface import BatchEnv
from drc_lab.launch import in_sweep, python, words
from drc_lab.tracking.datasets import log_levels
from drc_lab.tracking.descriptions import RUNS
from drc_lab.tracking.naming import run_name
from drc_lab.tracking.run import Run, tracked_run

COMMAND_LENGTH = 5000  # longest value of the tag, in characters; MLflow allows 8,000


def name_of(config: DictConfig) -> str:
    """Returns the run's ``name``, or if there is none what the command line changes, see `run_name`.

    Jobs of a sweep get their number as a prefix, with three digits, so that sorting by name puts them in order.
    """
    hydra = HydraConfig.get()
    changes = run_name(hydra.overrides.task, set(hydra.runtime.choices), str(config.study), int(config.seed))
    name = str(config.name or changes)
    return f"{hydra.job.num:03} {name}" if in_sweep() else name


def run_tags(config: DictConfig) -> dict[str, str]:
    """Returns the tags by which runs can be searched. MLflow itself adds the git commit and the user."""
    hydra = HydraConfig.get()
    choices = {**hydra.runtime.choices, **named_targets(hydra.overrides.task)}
    note = {MLFLOW_RUN_NOTE: RUNS[config.task]} if config.task in RUNS else {}
    return note | {
        "task": str(config.task),
        "env": str(config.env.id),
        "policy": str(choices["policy"]),
        "algo": str(choices["algo"]),
        "seed": str(config.seed),
        "host": platform.node(),
        "drc_lab": drc_lab.__version__,
        "torch": str(torch.__version__),
        "command": shlex.join([*python(), *words()])[:COMMAND_LENGTH],
    }


def named_targets(overrides: list[str]) -> dict[str, str]:
    """Returns the classes of policy and algo that the command line sets, as in ``policy._target_=mine.Net``."""
    targets = (re.fullmatch(r"\+*(policy|algo)\.(?:loss\.)?_target_=(.+)", override) for override in overrides)
    return {target[1]: target[2] for target in targets if target}


@contextmanager
def evaluation_run(settings: Settings, folder: Path, played: DictConfig) -> Iterator[Run]:
    """Opens the recorded run of an evaluation; if its folder has one already, that run is resumed.

    Its tags name the env that is played. They do not name a policy or an algorithm, as the options of the command's
    groups are not those of the training.

    Args:
        settings: of the command.
        folder: of the run.
        played: the config with the env as trained.
    """
    config = settings.config
    tags = {name: value for name, value in run_tags(config).items() if name not in ("policy", "algo")}
    tags["env"] = str(played.env.id)
    with tracked_run(settings.tracking, folder, config.study, name_of(config), tags, True, say) as run:
        yield run


def log_held_out(run: Run, use: str, env: BatchEnv, config: dict[str, Any]) -> None:
    """Records the held-out levels (``use`` is valid or test) that `held_out_env` made from a config."""
    e = config["evaluation"]
    split = e["split"] if use == "valid" else e["report_split"]
    described = config["env"] | e["env"] | {"split": split} | {key: e[key] for key in ("num_levels", "level_seed")}
    log_levels(run, use, env, described)

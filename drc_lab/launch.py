"""How this process was started: as which job of a sweep, and by which command."""

import os
import shlex
import sys
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from drc_lab.paths import CONF

# Environment variables, because every launcher passes the environment on to its jobs.
SWEEP = "DRC_LAB_SWEEP"  # a unique name of the sweep
PARENT = "DRC_LAB_SWEEP_RUN"  # id of the MLflow run that is the parent of the jobs' runs


def in_sweep() -> bool:
    """Whether this process runs a job of a sweep (``-m``)."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def in_a_row(hydra: HydraConf) -> bool:
    """Whether a sweep's jobs run one after the other in this process, so that the first mistake can end them all."""
    choices = hydra.runtime.choices
    return choices["hydra/launcher"] == choices["hydra/sweeper"] == "basic"


def job() -> str | None:
    """A name of this job that is unique across all sweeps and machines; None outside of sweeps."""
    return f"{os.environ[SWEEP]}/{HydraConfig.get().job.num}" if in_sweep() and SWEEP in os.environ else None


def typed(hydra: HydraConf) -> list[str]:
    """The overrides as they were typed: what refers to other keys is not resolved."""
    words = OmegaConf.to_container(hydra.overrides.task, resolve=False)
    assert isinstance(words, list)
    return words


def config_folders() -> list[Path]:
    """The folders that this command searches for configs; the user's own folder, if given, comes first."""
    of_user = get_args_parser().parse_args(sys.argv[1:]).config_dir
    return [*([Path(of_user).absolute()] if of_user else []), CONF]


def words() -> list[str]:
    """The words after ``python -m drc_lab`` that started this process: the user's own config folder, and overrides."""
    config = HydraConfig.get()
    config_folders = [source.path for source in config.runtime.config_sources if source.provider == "command-line"]
    paths = [override for override in config.overrides.hydra if override.startswith("hydra.searchpath=")]
    return [
        *(word for folder in config_folders for word in ("--config-dir", os.path.relpath(folder))),
        *paths,
        *typed(config),
    ]


def python() -> list[str]:
    """The command that runs this program, as words."""
    path = Path(sys.executable)
    path = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return [str(path), "-m", "drc_lab"]


def command_with(key: str, path: Path, without: str | None = None) -> str:
    """The command that started this process, with a key set to a path; the key ``without`` is left out."""
    others = [word for word in words() if word.split("=")[0] not in (key, without)]
    path = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return shlex.join([*python(), *others, override(key, path)])


def override(key: str, value: Path | str) -> str:
    """The word that gives a key this text, with quotes where Hydra's grammar needs them."""
    plain = f"{key}={value}"
    try:
        if OverridesParser.create().parse_override(plain).value() == str(value):
            return plain
    except HydraException:
        pass
    return f"{key}={QuotedString(str(value), Quote.single).with_quotes()}"

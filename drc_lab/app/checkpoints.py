"""The checkpoints that a config names: which ones, whether they exist, and their files. Light to import."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, ListConfig

from drc_lab.app.settings import Settings
from drc_lab.app.store import reading_client, store_uri
from drc_lab.checkpoint_names import FOLDER, LAST, check_file, in_mlflow, local_file
from drc_lab.errors import ConfigError


def checkpoint_names(settings: Settings) -> list[str]:
    """Returns the names of the checkpoints to evaluate; [] if ``thinking.run`` selects all checkpoints of a training.

    Raises:
        ConfigError: neither ``checkpoint`` nor ``thinking.run`` is set, or both are.
    """
    run, named = settings.thinking.run, settings.config.checkpoint
    if run is not None:
        if named is not None:
            raise ConfigError("thinking.run", run, f"null, as checkpoint={named} says what is played")
        return []
    if isinstance(named, ListConfig):
        if not named:
            raise ConfigError("checkpoint", [], "a .ckpt file or several")
        return [str(name) for name in named]
    if named is None:
        raise ConfigError("checkpoint", None, "a .ckpt file that a training wrote, models:/NAME@ALIAS, or several")
    return [one_checkpoint(settings.config)]


def one_checkpoint(config: DictConfig) -> str:
    """Returns the checkpoint's name, for tasks that take one only.

    Raises:
        ConfigError: none or several are named.
    """
    if isinstance(config.checkpoint, ListConfig):
        raise ConfigError("checkpoint", config.checkpoint, "one; only task=thinking takes several")
    return str(config.checkpoint)


def exported_checkpoint(config: DictConfig) -> str:
    """Returns the checkpoint's name for task=export, which needs one.

    Raises:
        ConfigError: none or several are named.
    """
    if config.checkpoint is None:
        raise ConfigError("checkpoint", None, "a .ckpt file that a training wrote, agents:/NAME or models:/NAME@ALIAS")
    return one_checkpoint(config)


def checkpoint_file(config: DictConfig, name: str | None = None) -> Path:
    """Returns the file of a checkpoint; one in MLflow is downloaded to ``root/models``.

    Args:
        config: the whole config.
        name: of the checkpoint; None is the only one that ``checkpoint`` names.

    Raises:
        UserError: the file does not exist, MLflow does not have it or is away, or ``checkpoint`` does not name exactly
            one.
    """
    checkpoint = name or one_checkpoint(config)
    if not in_mlflow(checkpoint):
        return local_file(checkpoint)
    from drc_lab.tracking.fetch import fetch_checkpoint

    return fetch_checkpoint(reading_client(config), checkpoint, Path(config.root) / "models")


def files_of_run(config: DictConfig, run: str) -> list[Path]:
    """Returns the checkpoints of a run, a folder or runs:/ID, which is downloaded to ``root/models``.

    Raises:
        ConfigError: about ``thinking.run``: the run has no checkpoints.
        UserError: MLflow does not have the run or is away.
    """
    if not run.startswith("runs:/"):
        return files_of_folder(run)
    from drc_lab.tracking.fetch import fetch_run  # importing MLflow takes seconds

    files = fetch_run(reading_client(config), run, Path(config.root) / "models", "thinking.run")
    _check_any(run, files)
    return files


def files_of_folder(run: str) -> list[Path]:
    """Returns the checkpoints of a run, given its folder or the folder of its checkpoints.

    Raises:
        ConfigError: there are none.
    """
    folder = Path(run) / FOLDER
    files = sorted((folder if folder.is_dir() else Path(run)).glob("*.ckpt"))
    _check_any(run, files)
    return files


def _check_any(run: str, files: Sequence[Path]) -> None:
    if not files:
        raise ConfigError("thinking.run", run, f"a run's folder with {FOLDER}/*.ckpt, or runs:/ID")


def check_checkpoint(config: DictConfig, name: str) -> None:
    """Checks that a checkpoint's file exists, or for one in MLflow that the config names a store."""
    if in_mlflow(name):
        store_uri(config)
    else:
        local_file(name)


def check_single(names: Sequence[str]) -> None:
    """Checks that only one checkpoint is named, for tasks that take no more."""
    if len(names) > 1:
        raise ConfigError("checkpoint", list(names), "one; task=thinking plays several")


def check_no_shift(settings: Settings) -> None:
    """Checks that no ``thinking.worlds`` are set, which several checkpoints cannot be played in."""
    if shifts := settings.thinking.worlds:
        raise ConfigError("thinking.worlds", shifts, "{} with several checkpoints")


def resume_choice(config: DictConfig) -> str:
    """Returns the checked value of ``resume``: auto, never or the path of a checkpoint."""
    choice = config.resume
    if not isinstance(choice, str):
        raise ConfigError("resume", choice, "auto | never | the path of a checkpoint")
    if choice not in ("auto", "never"):
        check_file(choice, "resume")
    return choice


def check_start(config: DictConfig, folder: Path) -> None:
    """Checks the checkpoint that a new training starts from, if one is named. A resumed training does not need it."""
    if config.checkpoint is None:
        return
    name, choice = one_checkpoint(config), resume_choice(config)
    if choice == "never" or (choice == "auto" and not (folder / FOLDER / LAST).exists()):
        check_checkpoint(config, name)

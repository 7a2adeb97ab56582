"""Readers and checks of the config. They run before a task's heavy imports, so that mistakes show at once; the tasks
then read the config with the same functions.

Light to import.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from drc_lab.app.specs import WeightsSpec
from drc_lab.arguments import check_types, from_mapping, plain
from drc_lab.checkpoint_names import FOLDER, LAST, check_file, in_mlflow, local_file
from drc_lab.envs.from_config import RICOCHET, SPECS, EnvSpec, env_arguments
from drc_lab.envs.specs.ricochet import BankSpec, BoardSpec, RicochetSpec
from drc_lab.errors import ConfigError, UserError
from drc_lab.evaluation.report_spec import ReportSpec
from drc_lab.evaluation.spec import EvaluationSpec
from drc_lab.evaluation.thinking_spec import ThinkingSpec
from drc_lab.learning.specs import AlgoSpec
from drc_lab.process_spec import ProcessSpec
from drc_lab.tracking.journal import FILE

CONFIG = "config.yaml"  # in a run's folder


def process_spec(config: DictConfig) -> ProcessSpec:
    """Returns the checked settings of the process."""
    keys = [field.name for field in fields(ProcessSpec)]
    return ProcessSpec(**check_types(ProcessSpec, {key: config[key] for key in keys if key in config}, ""))


def evaluation_spec(config: DictConfig) -> EvaluationSpec:
    """Returns the checked ``evaluation`` group."""
    return from_mapping(EvaluationSpec, plain(config.evaluation), "evaluation")


def thinking_spec(config: DictConfig) -> ThinkingSpec:
    """Returns the checked ``thinking`` group."""
    return from_mapping(ThinkingSpec, plain(config.thinking), "thinking")


def report_spec(config: DictConfig, levels: int | None) -> ReportSpec:
    """Returns the checked ``report`` group.

    Args:
        config: the whole config.
        levels: how many held-out levels there are; None if that is not known.

    Raises:
        ConfigError: a setting is invalid, or a level of the video does not exist.
    """
    spec = from_mapping(ReportSpec, plain(config.report), "report")
    for level in spec.video_levels or []:
        if levels is not None and level >= levels:
            raise ConfigError("report.video_levels", level, f"0 to {levels - 1}")
    return spec


def algo_spec(config: DictConfig) -> AlgoSpec:
    """Returns the checked keys of the ``algo`` group itself, without its subgroups."""
    return from_mapping(AlgoSpec, {field.name: config.algo[field.name] for field in fields(AlgoSpec)}, "algo")


# --- held-out levels ---


def held_out_settings(config: DictConfig) -> dict[str, Any]:
    """Returns the env's settings, overridden by those of ``evaluation.env``.

    Raises:
        ConfigError: only one of the two has the action "think", so that a policy of one cannot play in the other.
    """
    own, changed = plain(config.env), evaluation_spec(config).env
    check_thinks(own, own | changed, "evaluation.env.thinks")
    return own | changed


@contextmanager
def errors_name_origin(config: DictConfig, split_key: str = "evaluation.split") -> Iterator[None]:
    """Makes errors about held-out levels within this context name the config key that the setting comes from."""
    e = evaluation_spec(config)
    origin = {"env.split": split_key} | {f"env.{name}": f"evaluation.{name}" for name in ("num_levels", "level_seed")}
    origin |= {f"env.{name}": f"evaluation.env.{name}" for name in e.env}
    if e.board is not None:
        origin |= dict.fromkeys(("board", "env.height", "env.width"), "evaluation.board")
    try:
        yield
    except ConfigError as error:
        at = origin.get(error.key, error.key)
        raise ConfigError(at, e.board if at == "evaluation.board" else error.found, error.allowed) from None


def check_held_out(config: DictConfig, split: str, split_key: str = "evaluation.split") -> EnvSpec:
    """Checks that held-out levels of a split can be made; returns the arguments of their env.

    Raises:
        ConfigError: about the key that the setting comes from.
    """
    e = evaluation_spec(config)
    with errors_name_origin(config, split_key):
        arguments = env_arguments(held_out_settings(config))
        return arguments.held_out(split, e.num_levels, e.level_seed, e.board_size).make_spec()


def size_key(config: DictConfig, otherwise: str = "evaluation.env") -> str:
    """Returns the key that sets the board size in an evaluation: ``evaluation.board`` if it is set, else
    ``otherwise``."""
    return otherwise if config.evaluation.board is None else "evaluation.board"


def check_reads(obs_shape: Sequence[int], can_read: bool, shape: Sequence[int], key: str) -> None:
    """Checks that a policy can read the observations of an env other than the one it was built for.

    Args:
        obs_shape: observation shape that the policy was built for.
        can_read: whether it can read ``shape``.
        shape: of the env's observations.
        key: config key that the env comes from.

    Raises:
        ConfigError: it cannot.
    """
    if not can_read:
        more = ""
        if len(shape) == len(obs_shape) == 3 and shape[0] == obs_shape[0]:
            more = "; a policy trained with policy.head=pool or cells reads any height and width"
        raise ConfigError(key, f"observations {tuple(shape)}", f"{tuple(obs_shape)}, which the policy reads{more}")


def check_actions(num_actions: int, actions: int, noop_more: bool, key: str) -> None:
    """Checks that an env's number of actions fits the policy.

    Args:
        num_actions: that the policy chooses from.
        actions: of the env.
        noop_more: whether the env has one more action, a last no-op that the policy does not know.
        key: config key that the env comes from.

    Raises:
        ConfigError: the numbers differ.
    """
    if actions != num_actions + noop_more:
        raise ConfigError(key, f"{actions} actions", f"{num_actions}, which the policy chooses from")


def check_thinks(trained: Mapping[str, Any], env: Mapping[str, Any], key: str) -> None:
    """Checks that either both envs have the action "think" or neither has. The number of actions alone cannot tell it
    from a no-op.

    Args:
        trained: settings of the env that the policy is trained in.
        env: settings of the env that it is to play in.
        key: config key that ``env`` comes from.

    Raises:
        ConfigError: only one of them has it.
    """
    has = trained.get("thinks") is not None
    if (env.get("thinks") is not None) != has:
        allowed = "a number, as the policy can choose" if has else "null, as the policy cannot choose"
        raise ConfigError(key, env.get("thinks"), f"{allowed} to think")


# --- checkpoints ---


def store_uri(config: DictConfig) -> str:
    """Returns the URI of MLflow's store, for tasks that read from it.

    Raises:
        ConfigError: the config names no store.
    """
    uri = (config.get("tracking") or {}).get("uri")
    if uri is None:
        raise ConfigError("tracking.uri", None, "MLflow's store: tracking=mlflow")
    return str(uri)


def check_checkpoint(config: DictConfig, name: str) -> None:
    """Checks that a checkpoint's file exists, or for one in MLflow that the config names a store."""
    if in_mlflow(name):
        store_uri(config)
    else:
        local_file(name)


def check_start(config: DictConfig, folder: Path) -> None:
    """Checks the checkpoint that a new training starts from, if one is named. A resumed training does not need it."""
    if config.checkpoint is None:
        return
    name, choice = one_checkpoint(config), resumed(config)
    if choice == "never" or (choice == "auto" and not (folder / FOLDER / LAST).exists()):
        check_checkpoint(config, name)


def check_taught(config: DictConfig) -> None:
    """Checks that the game has an exact solver, for a loss that learns from optimal actions."""
    if config.env.id not in SPECS:
        raise ConfigError("env.id", config.env.id, f"{' | '.join(SPECS)}, as algo.loss learns from the exact solver")


def as_trained(config: DictConfig, trained: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Returns the config with the ``env`` and ``evaluation`` groups of a training, except for what the command line
    sets."""
    config = config.copy()
    for group in ("env", "evaluation"):
        if group not in trained or any(override.startswith(f"{group}=") for override in overrides):
            continue
        keys_set = [o.split("=")[0].lstrip("+") for o in overrides if o.lstrip("+").startswith(f"{group}.")]
        values = {key: OmegaConf.select(config, key) for key in keys_set}
        if group == "env" and "levels" in trained.env and any(re.match(r"data[.=]", o) for o in overrides):
            values |= {"env.levels": config.data.folder, "env.difficulty": config.data.difficulty} | values
        # Env keys depend on the game, so the trained group is taken whole. Evaluation keys that are newer than that
        # training keep their defaults.
        known = trained[group] if group == "env" else {k: v for k, v in trained[group].items() if k in config[group]}
        config[group] = known if group == "env" else OmegaConf.merge(config[group], known)
        for key, value in values.items():
            OmegaConf.update(config, key, value, force_add=True)
    if "env" in trained:
        check_thinks(trained.env, config.env, "env.thinks")
    return config


def config_as_trained(config: DictConfig, name: str) -> DictConfig | None:
    """Returns `as_trained` if the checkpoint still lies in its run's folder, where ``config.yaml`` can be read; else
    None, as the training's config is then in the checkpoint only."""
    path = Path(name)
    if path.parent.name != FOLDER or not (saved := path.parent.parent / CONFIG).is_file():
        return None
    trained = OmegaConf.load(saved)
    assert isinstance(trained, DictConfig)
    return as_trained(config, trained, HydraConfig.get().overrides.task)


def one_checkpoint(config: DictConfig) -> str:
    """Returns the checkpoint's name, for tasks that take one only.

    Raises:
        ConfigError: none or several are named.
    """
    if not isinstance(config.checkpoint, str):
        raise ConfigError("checkpoint", config.checkpoint, "one; only task=thinking takes several")
    return config.checkpoint


def exported_checkpoint(config: DictConfig) -> str:
    """Returns the checkpoint's name for task=export, which needs one.

    Raises:
        ConfigError: none or several are named.
    """
    if config.checkpoint is None:
        raise ConfigError("checkpoint", None, "a .ckpt file that a training wrote, agents:/NAME or models:/NAME@ALIAS")
    return one_checkpoint(config)


def subject_names(config: DictConfig) -> list[str]:
    """Returns the names of the checkpoints to evaluate; [] if ``thinking.run`` selects all checkpoints of a training.

    Raises:
        ConfigError: neither ``checkpoint`` nor ``thinking.run`` is set, or both are.
    """
    run = thinking_spec(config).run
    if run is not None:
        if config.checkpoint is not None:
            raise ConfigError("thinking.run", run, f"null, as checkpoint={config.checkpoint} says what is played")
        return []
    if isinstance(config.checkpoint, ListConfig):
        if not config.checkpoint:
            raise ConfigError("checkpoint", [], "a .ckpt file or several")
        return [str(one) for one in config.checkpoint]
    if config.checkpoint is None:
        raise ConfigError("checkpoint", None, "a .ckpt file that a training wrote, models:/NAME@ALIAS, or several")
    return [one_checkpoint(config)]


def check_single(names: Sequence[str]) -> None:
    """Checks that only one checkpoint is named, for tasks that take no more."""
    if len(names) > 1:
        raise ConfigError("checkpoint", list(names), "one; task=thinking plays several")


def check_several(config: DictConfig) -> None:
    """Checks that no ``thinking.worlds`` are set, which several checkpoints cannot be played in."""
    if worlds := thinking_spec(config).worlds:
        raise ConfigError("thinking.worlds", worlds, "{} with several checkpoints")


def check_files(run: str, found: Sequence[Path]) -> None:
    """Checks that a run has any checkpoints."""
    if not found:
        raise ConfigError("thinking.run", run, f"a run's folder with {FOLDER}/*.ckpt, or runs:/ID")


def files_of_folder(run: str) -> list[Path]:
    """Returns the checkpoints of a run, given its folder or the folder of its checkpoints.

    Raises:
        ConfigError: there are none.
    """
    folder = Path(run) / FOLDER
    found = sorted((folder if folder.is_dir() else Path(run)).glob("*.ckpt"))
    check_files(run, found)
    return found


def resumed(config: DictConfig) -> str:
    """Returns the checked value of ``resume``: auto, never or the path of a checkpoint."""
    choice = config.resume
    if not isinstance(choice, str):
        raise ConfigError("resume", choice, "auto | never | the path of a checkpoint")
    if choice not in ("auto", "never"):
        check_file(choice, "resume")
    return choice


# --- the other tasks ---


def check_played_level(level: int, levels: int | None) -> None:
    """Checks ``play.level``; ``levels`` is how many there are, None if that is not known."""
    if levels is not None and not 0 <= level < levels:
        raise ConfigError("play.level", level, f"0 to {levels - 1}")


def bank_plan(config: DictConfig) -> tuple[Path, BankSpec, dict[str, Any]]:
    """Returns what task=make_bank needs: the file, the settings of the bank, and the arguments of the generator.

    Raises:
        UserError: the file exists already, or a setting is invalid.
    """
    if config.env.id != RICOCHET:
        raise ConfigError("env.id", config.env.id, RICOCHET)
    for key in RicochetSpec.GIVEN_LEVELS:
        if config.env.get(key) is not None:
            raise ConfigError(f"env.{key}", config.env[key], "null: a bank is made of generated boards")
    if not isinstance(config.bank.path, str):
        raise ConfigError("bank.path", config.bank.path, "the name of a new file")
    process_spec(config)
    path = Path(config.bank.path)
    spec = from_mapping(BankSpec, {k: v for k, v in plain(config.bank).items() if k != "path"}, "bank")
    if path.exists():
        raise UserError(f"{path}: there is a file already; choose another bank.path")
    known = {field.name for field in fields(BoardSpec)}
    values = {name: value for name, value in plain(config.env).items() if name in known}
    from_mapping(BoardSpec, values, "env")
    return path, spec, values


def levels_source(config: DictConfig) -> tuple[str, Path, str | None]:
    """Returns what task=fetch_levels needs: the archive's URL, the folder to make, and the archive's SHA-256 or
    None."""
    data = config.data
    if "url" not in data:
        raise ConfigError("data", "generated", "boxoban, to be fetched")
    for key in ("folder", "url"):
        if not isinstance(data[key], str) or not data[key]:
            raise ConfigError(f"data.{key}", data[key], "text")
    sha256 = None if data.sha256 is None else str(data.sha256)
    check_sha256(sha256)
    return data.url, Path(data.folder), sha256


def check_sha256(sha256: str | None) -> None:
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ConfigError("data.sha256", sha256, "64 hex digits, or null")


def check_weights(config: DictConfig) -> None:
    """Checks the config of task=import_weights, and that its path exists."""
    path = config.import_weights.path
    if not isinstance(path, str):
        raise ConfigError("path", path, "a folder or file of published weights")
    process_spec(config)
    from_mapping(WeightsSpec, plain(config.import_weights), "import_weights")
    if (thinks := config.env.get("thinks")) is not None:
        raise ConfigError("env.thinks", thinks, "null, as published policies cannot choose to think")
    if not Path(path).exists():
        raise UserError(f"{path}: no such file or folder")


def check_journal(folder: Path) -> None:
    """Checks that the folder of task=sync is that of a run, with a journal."""
    if not (folder / FILE).is_file():
        raise UserError(f"folder: found no {FILE} in {str(folder)!r}, allowed: the folder of a run")

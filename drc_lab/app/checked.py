"""What tasks ask of a config before they import what they need; they themselves read it by the same functions.

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
from drc_lab.envs.described import RICOCHET, SPECS, EnvSpec, described, held_out_arguments, made
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
    """The checked settings of the process."""
    keys = [field.name for field in fields(ProcessSpec)]
    return ProcessSpec(**check_types(ProcessSpec, {key: config[key] for key in keys if key in config}, ""))


def evaluation_spec(config: DictConfig) -> EvaluationSpec:
    """The checked ``evaluation`` group."""
    return from_mapping(EvaluationSpec, plain(config.evaluation), "evaluation")


def thinking_spec(config: DictConfig) -> ThinkingSpec:
    """The checked ``thinking`` group."""
    return from_mapping(ThinkingSpec, plain(config.thinking), "thinking")


def report_spec(config: DictConfig, levels: int | None) -> ReportSpec:
    """The checked ``report`` group, for so many held-out levels, where that is known.

    Raises:
        ConfigError: also about a level that there is not.
    """
    spec = from_mapping(ReportSpec, plain(config.report), "report")
    for level in spec.video_levels or []:
        if levels is not None and level >= levels:
            raise ConfigError("report.video_levels", level, f"0 to {levels - 1}")
    return spec


def algo_spec(config: DictConfig) -> AlgoSpec:
    """What stands in the ``algo`` group itself, checked."""
    return from_mapping(AlgoSpec, {field.name: config.algo[field.name] for field in fields(AlgoSpec)}, "algo")


# --- held-out levels ---


def held_out_settings(config: DictConfig) -> dict[str, Any]:
    """The env's settings with those of ``evaluation.env`` in their place.

    Raises:
        ConfigError: a policy of the one could not play in the other.
    """
    own, changed = plain(config.env), evaluation_spec(config).env
    check_thinks(own, own | changed, "evaluation.env.thinks")
    return own | changed


@contextmanager
def told_by_origin(config: DictConfig, split_key: str = "evaluation.split") -> Iterator[None]:
    """Within this context an error about held-out levels names the key that the setting comes from."""
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
    """Whether there can be held-out levels of a split; the arguments of their env.

    Raises:
        ConfigError: about the key that the setting comes from.
    """
    e = evaluation_spec(config)
    with told_by_origin(config, split_key):
        spec, values = described(held_out_settings(config))
        values = held_out_arguments(spec, values, split, e.num_levels, e.level_seed, e.board_size)
        return made(spec, values)


def size_key(config: DictConfig, otherwise: str = "evaluation.env") -> str:
    """The key that a board's size in an evaluation comes from."""
    return otherwise if config.evaluation.board is None else "evaluation.board"


def check_reads(obs_shape: Sequence[int], can_read: bool, shape: Sequence[int], key: str) -> None:
    """Whether a policy can read the observations of an env that may not be the one it was built for.

    Args:
        obs_shape: that it was built for.
        can_read: whether it can.
        shape: of the env's observations.
        key: what the env comes from.
    """
    if not can_read:
        more = ""
        if len(shape) == len(obs_shape) == 3 and shape[0] == obs_shape[0]:
            more = "; a policy trained with policy.head=pool or cells reads any height and width"
        raise ConfigError(key, f"observations {tuple(shape)}", f"{tuple(obs_shape)}, which the policy reads{more}")


def check_actions(num_actions: int, actions: int, noop_more: bool, key: str) -> None:
    """Whether it has as many actions as a policy chooses from; the policy need not know of a last no-op."""
    if actions != num_actions + noop_more:
        raise ConfigError(key, f"{actions} actions", f"{num_actions}, which the policy chooses from")


def check_thinks(trained: Mapping[str, Any], env: Mapping[str, Any], key: str) -> None:
    """Whether two envs' settings agree on the action "think": their number of actions does not tell it from a no-op.

    Args:
        trained: those that the policy learns, or has learned, in.
        env: those that it is to play in.
        key: what these come from.
    """
    has = trained.get("thinks") is not None
    if (env.get("thinks") is not None) != has:
        allowed = "a number, as the policy can choose" if has else "null, as the policy cannot choose"
        raise ConfigError(key, env.get("thinks"), f"{allowed} to think")


# --- checkpoints ---


def store_uri(config: DictConfig) -> str:
    """Where MLflow is, for what tasks read from it."""
    uri = (config.get("tracking") or {}).get("uri")
    if uri is None:
        raise ConfigError("tracking.uri", None, "MLflow's store: tracking=mlflow")
    return str(uri)


def check_checkpoint(config: DictConfig, name: str) -> None:
    """Whether a checkpoint can be there, and is if it is to be a file."""
    if in_mlflow(name):
        store_uri(config)
    else:
        local_file(name)


def check_start(config: DictConfig, folder: Path) -> None:
    """The weights that a new training begins with, if any are named; one that goes on in its folder needs none."""
    if config.checkpoint is None:
        return
    name, choice = one_checkpoint(config), resumed(config)
    if choice == "never" or (choice == "auto" and not (folder / FOLDER / LAST).exists()):
        check_checkpoint(config, name)


def check_taught(config: DictConfig) -> None:
    """Whether there is an exact solver for a loss that learns from one."""
    if config.env.id not in SPECS:
        raise ConfigError("env.id", config.env.id, f"{' | '.join(SPECS)}, as algo.loss learns from the exact solver")


def as_trained(config: DictConfig, trained: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The config with the env and the held-out levels of a training, but for what the command line sets itself."""
    config = config.copy()
    for group in ("env", "evaluation"):
        if group not in trained or any(override.startswith(f"{group}=") for override in overrides):
            continue
        keys_set = [o.split("=")[0].lstrip("+") for o in overrides if o.lstrip("+").startswith(f"{group}.")]
        values = {key: OmegaConf.select(config, key) for key in keys_set}
        if group == "env" and "levels" in trained.env and any(re.match(r"data[.=]", o) for o in overrides):
            values |= {"env.levels": config.data.folder, "env.difficulty": config.data.difficulty} | values
        # An env's keys depend on its game; what is new in an evaluation since that training has its default.
        known = trained[group] if group == "env" else {k: v for k, v in trained[group].items() if k in config[group]}
        config[group] = known if group == "env" else OmegaConf.merge(config[group], known)
        for key, value in values.items():
            OmegaConf.update(config, key, value, force_add=True)
    if "env" in trained:
        check_thinks(trained.env, config.env, "env.thinks")
    return config


def recorded(config: DictConfig, name: str) -> DictConfig | None:
    """`as_trained`, where the checkpoint still lies in its run's folder, beside the config; else only it can tell."""
    path = Path(name)
    if path.parent.name != FOLDER or not (saved := path.parent.parent / CONFIG).is_file():
        return None
    trained = OmegaConf.load(saved)
    assert isinstance(trained, DictConfig)
    return as_trained(config, trained, HydraConfig.get().overrides.task)


def one_checkpoint(config: DictConfig) -> str:
    """The name of the only one, in tasks that take no more."""
    if not isinstance(config.checkpoint, str):
        raise ConfigError("checkpoint", config.checkpoint, "one; only task=thinking takes several")
    return config.checkpoint


def exported_checkpoint(config: DictConfig) -> str:
    """Of task=export, which cannot do without."""
    if config.checkpoint is None:
        raise ConfigError("checkpoint", None, "a .ckpt file that a training wrote, agents:/NAME or models:/NAME@ALIAS")
    return one_checkpoint(config)


def subject_names(config: DictConfig) -> list[str]:
    """The checkpoints that are to be evaluated; none are named where ``thinking.run`` means all of a training.

    Raises:
        ConfigError: none is named, or both are.
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
    """Of task=evaluate."""
    if len(names) > 1:
        raise ConfigError("checkpoint", list(names), "one; task=thinking plays several")


def check_several(config: DictConfig) -> None:
    """What several checkpoints cannot have."""
    if worlds := thinking_spec(config).worlds:
        raise ConfigError("thinking.worlds", worlds, "{} with several checkpoints")


def check_files(run: str, found: Sequence[Path]) -> None:
    """Whether a run has any checkpoints."""
    if not found:
        raise ConfigError("thinking.run", run, f"a run's folder with {FOLDER}/*.ckpt, or runs:/ID")


def files_of_folder(run: str) -> list[Path]:
    """The checkpoints in a run's folder, or in that of its checkpoints."""
    folder = Path(run) / FOLDER
    found = sorted((folder if folder.is_dir() else Path(run)).glob("*.ckpt"))
    check_files(run, found)
    return found


def resumed(config: DictConfig) -> str:
    """The checked choice of ``resume``."""
    choice = config.resume
    if not isinstance(choice, str):
        raise ConfigError("resume", choice, "auto | never | the path of a checkpoint")
    if choice not in ("auto", "never"):
        check_file(choice, "resume")
    return choice


# --- the other tasks ---


def check_played_level(level: int, levels: int | None) -> None:
    """Of task=play, for so many levels, where that is known."""
    if levels is not None and not 0 <= level < levels:
        raise ConfigError("play.level", level, f"0 to {levels - 1}")


def bank_plan(config: DictConfig) -> tuple[Path, BankSpec, dict[str, Any]]:
    """Of task=make_bank: the file, how much goes into it, and the arguments of the generator.

    Raises:
        UserError: there is such a file already, or a setting cannot be.
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
    """Of task=fetch_levels: the archive, the folder to make, and the archive's sum."""
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
    """Of task=import_weights: whether there is something to read."""
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
    """Of task=sync."""
    if not (folder / FILE).is_file():
        raise UserError(f"folder: found no {FILE} in {str(folder)!r}, allowed: the folder of a run")

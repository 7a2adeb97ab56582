"""Python functions that load a policy and make an env."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from drc_lab import config as configs
from drc_lab.app.as_trained import as_trained
from drc_lab.app.checkpoints import checkpoint_file
from drc_lab.app.held_out import held_out_env
from drc_lab.app.settings import Settings
from drc_lab.arguments import plain
from drc_lab.composing import composed
from drc_lab.envs.interface import BatchEnv
from drc_lab.errors import ConfigError
from drc_lab.hydra_errors import hydra_in_one_line
from drc_lab.learning import checkpoints
from drc_lab.models.policy import Policy
from drc_lab.paths import CONF
from drc_lab.process import process_kept
from drc_lab.rules import at_least
from drc_lab.trust import trusted


def load_policy(
    checkpoint: str | Path,
    *,
    root: str | Path = "outputs",
    tracking_uri: str | None = None,
    trust: Sequence[str] = (),
) -> Policy:
    """Loads a trained policy, in evaluation mode, on the CPU.

    Args:
        checkpoint: a .ckpt file, agents:/NAME (an agent that comes with the package), models:/NAME@ALIAS,
            models:/NAME/VERSION or runs:/ID/checkpoints/FILE.
        root: folder of MLflow's store; checkpoints are also downloaded from MLflow to this folder.
        tracking_uri: MLflow's tracking URI, if its store is elsewhere.
        trust: names of modules that the checkpoint may name for its policy or env, and whose code then runs. Without
            them only policies of drc_lab and envs that Gymnasium knows are built.

    Returns:
        the policy. Its ``origin`` has the config of its training.

    Raises:
        UserError: there is no such checkpoint, this version cannot load it, or it names a module that is not trusted.
    """
    allowed = trusted(trust)
    with process_kept():
        config = command_config()
        config.root = str(root)
        if tracking_uri is not None:
            config.tracking.uri = tracking_uri
        return checkpoints.load_policy(checkpoint_file(config, str(checkpoint)), allowed)[0]


def make_env(
    of: Policy | str,
    split: str | None = None,
    num_envs: int = 1,
    *,
    num_levels: int | None = None,
    level_seed: int | None = None,
    autoreset: bool = True,
    **settings: Any,
) -> BatchEnv:
    """Builds a batch env (`drc_lab.envs.interface.BatchEnv`): observations [B, C, H, W] or [B, F], actions int64 [B].

    Args:
        of: a loaded policy, for the env it was trained in; an id, such as ``drc_lab/Sokoban-v0`` or any of
            Gymnasium's; or the name of a config in conf/env.
        split: train, valid or test: a fixed set of levels, played in order. None: endless levels, as in training.
        num_envs: B.
        num_levels, level_seed: size and seed of the fixed set; None takes them from the policy's training, or from
            conf/evaluation.
        autoreset: whether the step that ends an episode already starts the next one; ``info["final_obs"]`` then has
            the last observation of the old episode.
        settings: settings of the env by key, which replace its own.

    Raises:
        ConfigError: there is no such env or split, or a setting is invalid.
    """
    config = evaluation_config(of)
    with hydra_in_one_line((), [CONF]):  # for settings that a config cannot hold
        config.env = OmegaConf.create(plain(config.env) | settings)
    e = config.evaluation
    e.env = {key: value for key, value in plain(e.env).items() if key not in settings}
    e.board = None if {"height", "width"} & set(settings) else e.board
    e.num_levels = e.num_levels if num_levels is None else num_levels
    e.level_seed = e.level_seed if level_seed is None else level_seed
    at_least("num_envs", [num_envs], 1)
    if split is None:
        return configs.make_env(config.env, num_envs, autoreset=autoreset)
    return held_out_env(Settings(config), split, "split", num_envs=num_envs, autoreset=autoreset, copy=True)


def command_config(overrides: Sequence[str] = ()) -> DictConfig:
    """The config of a command with these overrides."""
    with composed(overrides) as config:
        return config


def evaluation_config(of: Policy | str) -> DictConfig:
    """The config of an evaluation in the env that a policy was trained in, or in a named env."""
    if isinstance(of, Policy):
        if of.origin is None:
            raise ConfigError("policy", type(of).__name__, "one of load_policy, which knows what it was trained in")
        return as_trained(command_config(), OmegaConf.create(dict(of.origin.config)), overrides=[]).config
    groups = {path.stem for path in (CONF / "env").glob("*.yaml")}
    return command_config([f"env={of}" if of in groups else f"env.id={of}"])

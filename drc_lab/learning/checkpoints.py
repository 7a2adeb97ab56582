"""From a checkpoint file to a policy and the config it was trained with. Nothing in the file is executed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from drc_lab.arguments import errors_under
from drc_lab.checkpoint_names import local_file
from drc_lab.config import build_policy, make_env
from drc_lab.errors import ConfigError, UserError
from drc_lab.models.policy import Origin, Policy

MORE_ACTIONS = ("noop", "thinks")  # settings of an env with one action more, which their number does not tell apart
NONE = (None, False)


def read_checkpoint(path: str | Path, key: str = "checkpoint") -> dict[str, Any]:
    """The checkpoint as tensors and plain types: a file or agents:/NAME. ``key`` is what names it in the config.

    Raises:
        UserError: there is no such file, or it is no checkpoint of drc_lab.
    """
    path = local_file(str(path), key)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the broken bytes lead to
        raise UserError(f"{key}: {str(path)!r} cannot be read, it is damaged or not one of drc_lab") from error
    if not isinstance(checkpoint, dict) or not {"config", "state_dict"} <= set(checkpoint):
        raise UserError(f"{key}: {str(path)!r} holds no config and state_dict, it is not one of drc_lab")
    return checkpoint


def load_policy(path: str | Path) -> tuple[Policy, DictConfig]:
    """The trained policy of a file or of agents:/NAME, in evaluation mode, and its resolved config."""
    return policy_of(read_checkpoint(path))


def weights_in(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The policy's part of a checkpoint that has been read."""
    prefix = "policy."
    return {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}


def begin_with(policy: Policy, path: Path, name: str, env: Mapping[str, Any]) -> int:
    """Gives a policy that is to be trained the weights of a checkpoint.

    Args:
        path: of the file.
        name: the checkpoint's, for messages.
        env: settings of the env that it is to be trained in.

    Returns:
        the frames that these have learned from.

    Raises:
        UserError: no checkpoint, one of other actions, or one whose weights the policy has no place for.
    """
    checkpoint = read_checkpoint(path)
    trained = checkpoint["config"]["env"]
    for key in MORE_ACTIONS:
        if (env.get(key) in NONE) != (trained.get(key) in NONE):
            raise ConfigError(f"env.{key}", env.get(key), f"{trained.get(key)!r}, as {name} was trained with")
    theirs, own = weights_in(checkpoint), policy.state_dict()
    for weight in [*own, *theirs]:
        found, needed = (tuple(w[weight].shape) if weight in w else None for w in (theirs, own))
        if found != needed:
            has, takes = (f"{weight} {shape}" if shape is not None else f"no {weight}" for shape in (found, needed))
            raise ConfigError("checkpoint", name, f"one with {takes}, as this training's policy, not {has}")
    policy.load_state_dict(theirs)
    return int(checkpoint.get("frames", 0))


def policy_of(checkpoint: dict[str, Any]) -> tuple[Policy, DictConfig]:
    """The same of a checkpoint that has been read.

    Raises:
        UserError: its policy or env is not to be had here any more, or is another one than was trained.
    """
    config = OmegaConf.create(checkpoint["config"])
    assert isinstance(config, DictConfig)
    with errors_under("checkpoint"):  # whose config names them
        policy = build_policy(config.policy, make_env(config.env, num_envs=1))
    try:
        policy.load_state_dict(weights_in(checkpoint))
    except RuntimeError as error:
        why = " ".join(str(error).split())
        raise UserError(f"checkpoint: {config.policy._target_} is not what was trained any more: {why}") from error
    policy.origin = Origin(checkpoint["config"], int(checkpoint.get("frames", 0)))
    return policy.eval(), config

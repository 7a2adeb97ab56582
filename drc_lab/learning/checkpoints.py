"""Loads a policy and its training config from a checkpoint file. No code in the file is executed."""

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

# Settings of an env that each add one action: the number of actions does not tell them apart.
MORE_ACTIONS = ("noop", "thinks")
NONE = (None, False)


def read_checkpoint(path: str | Path, key: str = "checkpoint") -> dict[str, Any]:
    """Reads a checkpoint as tensors and plain types.

    Args:
        path: of a file, or agents:/NAME.
        key: config key that names the checkpoint, for messages.

    Raises:
        UserError: there is no such file, or it is not a checkpoint of drc_lab.
    """
    path = local_file(str(path), key)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files make torch raise errors of many types
        raise UserError(f"{key}: {str(path)!r} cannot be read, it is damaged or not one of drc_lab") from error
    if not isinstance(checkpoint, dict) or not {"config", "state_dict"} <= set(checkpoint):
        raise UserError(f"{key}: {str(path)!r} holds no config and state_dict, it is not one of drc_lab")
    return checkpoint


def load_policy(path: str | Path) -> tuple[Policy, DictConfig]:
    """Loads the trained policy from a file or agents:/NAME, in evaluation mode, with its resolved config."""
    return policy_of(read_checkpoint(path))


def weights_in(checkpoint: dict[str, Any]) -> dict[str, Tensor]:
    """The policy's weights from the result of `read_checkpoint`."""
    prefix = "policy."
    return {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}


def begin_with(policy: Policy, path: Path, name: str, env: Mapping[str, Any]) -> int:
    """Initialises a policy that will be trained with the weights of a checkpoint.

    Args:
        policy: the policy, changed in place.
        path: of the checkpoint file.
        name: the checkpoint's name, for messages.
        env: settings of the env that the policy will be trained in.

    Returns:
        the number of frames that these weights have learned from.

    Raises:
        UserError: there is no such checkpoint, it was trained with other actions, or its weights differ from the
            policy's in name or shape.
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
    """`load_policy` for the result of `read_checkpoint`.

    Raises:
        UserError: the policy or env no longer exists here, or the policy's weights are no longer those that were
            trained.
    """
    config = OmegaConf.create(checkpoint["config"])
    assert isinstance(config, DictConfig)
    with errors_under("checkpoint"):  # the keys are those of the checkpoint's config
        policy = build_policy(config.policy, make_env(config.env, num_envs=1))
    try:
        policy.load_state_dict(weights_in(checkpoint))
    except RuntimeError as error:
        why = " ".join(str(error).split())
        raise UserError(f"checkpoint: {config.policy._target_} is not what was trained any more: {why}") from error
    policy.origin = Origin(checkpoint["config"], int(checkpoint.get("frames", 0)))
    return policy.eval(), config

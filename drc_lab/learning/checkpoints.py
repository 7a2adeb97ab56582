"""Loads a policy and its training config from a checkpoint file.

No code in the file is executed, and none that it names unless it is part of drc_lab or trusted.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from drc_lab.arguments import errors_under
from drc_lab.checkpoint_names import local_file
from drc_lab.config import build_policy, make_env
from drc_lab.errors import ConfigError, UserError
from drc_lab.models.policy import Origin, Policy
from drc_lab.saved_tensors import read_torch
from drc_lab.targets import TARGET
from drc_lab.trust import OWN_POLICIES, Trust, check_config
from drc_lab.untrusted import plain_tree

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
        checkpoint = read_torch(path)
    except UserError:
        raise
    except Exception as error:  # damaged files make torch raise errors of many types
        raise UserError(f"{key}: {str(path)!r} cannot be read, it is damaged or not one of drc_lab") from error
    if not isinstance(checkpoint, dict) or not {"config", "state_dict"} <= set(checkpoint):
        raise UserError(f"{key}: {str(path)!r} holds no config and state_dict, it is not one of drc_lab")
    return dict(checkpoint) | _checked(checkpoint, f"{key}: {str(path)!r}")


def _checked(checkpoint: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Copies of the parts that are used, as what they should be: nothing that a file added to them comes along.

    Raises:
        UserError: one of them is something else; the message begins with ``source``.
    """
    weights, frames = checkpoint["state_dict"], checkpoint.get("frames", 0)
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(weight, Tensor) for name, weight in dict.items(weights)
    ):
        raise UserError(f"{source} has a state_dict of something else than tensors by name, it is not one of drc_lab")
    if type(frames) is not int or not 0 <= frames < 2**63:
        raise UserError(f"{source} has frames={frames!r:.80}, allowed: a number of 0 or more")
    try:
        config = plain_tree(checkpoint["config"])
    except ValueError as error:
        raise UserError(f"{source} has a config with {error}, it is not one of drc_lab") from None
    if not isinstance(config, dict) or not all(isinstance(config.get(group), dict) for group in ("env", "policy")):
        raise UserError(f"{source} has a config without env and policy, it is not one of drc_lab")
    return {"config": config, "state_dict": {name: Tensor.detach(weight) for name, weight in weights.items()}}


def load_policy(path: str | Path, trust: Trust | None = None) -> tuple[Policy, DictConfig]:
    """Loads the trained policy from a file or agents:/NAME, in evaluation mode, with its resolved config.

    Args:
        path: of a file, or agents:/NAME.
        trust: what its config may name besides policies and envs of drc_lab; None is nothing.
    """
    return policy_of(read_checkpoint(path), trust)


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


def check_layers(policy: Mapping[str, Any], weights: int) -> None:
    """Refuses a policy of drc_lab with more layers than there are weights, which would take forever to build.

    Raises:
        ConfigError: about ``policy.KEY``.
    """
    for key, value in policy.items():
        layers = len(value) if isinstance(value, list) else value if key.endswith("layers") else 0
        if str(policy[TARGET]).startswith(OWN_POLICIES) and isinstance(layers, int | float) and layers > weights:
            raise ConfigError(f"policy.{key}", value, f"no more layers than the {weights} weights beside it")


def policy_of(checkpoint: dict[str, Any], trust: Trust | None = None) -> tuple[Policy, DictConfig]:
    """`load_policy` for the result of `read_checkpoint`.

    Raises:
        UserError: the policy or env no longer exists here or is not trusted, or the policy's weights are no longer
            those that were trained.
    """
    with errors_under("checkpoint"):  # the keys are those of the checkpoint's config
        check_config(checkpoint["config"], trust or Trust())
        config = OmegaConf.create(checkpoint["config"])
        assert isinstance(config, DictConfig)
        check_layers(checkpoint["config"]["policy"], len(checkpoint["state_dict"]))
        # Only the sizes of the env matter here, so no fixed set of levels is generated.
        env = {key: value for key, value in checkpoint["config"]["env"].items() if key != "num_levels"}
        policy = build_policy(config.policy, make_env(OmegaConf.create(env), num_envs=1))
    try:
        policy.load_state_dict(weights_in(checkpoint))
    except RuntimeError as error:
        why = " ".join(str(error).split())
        raise UserError(f"checkpoint: {config.policy._target_} is not what was trained any more: {why}") from error
    policy.origin = Origin(checkpoint["config"], int(checkpoint.get("frames", 0)))
    return policy.eval(), config

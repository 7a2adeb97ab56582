"""Writes checkpoint files, and loads a policy and its training config from one.

No code in a file is executed, and none that it names unless it is part of drc_lab or trusted.
"""

import io
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from drc_lab.arguments import errors_under
from drc_lab.checkpoint_names import FOLDER, local_file
from drc_lab.checksums import fault_in_zip, seal_zip
from drc_lab.config import build_policy, make_env
from drc_lab.errors import ConfigError, UserError
from drc_lab.files import written
from drc_lab.launch import command_with
from drc_lab.models.policy import Origin, Policy
from drc_lab.saved_tensors import read_torch
from drc_lab.targets import TARGET
from drc_lab.trust import OWN_POLICIES, Trust, check_config
from drc_lab.untrusted import plain_tree

# Settings of an env that each add one action: the number of actions does not tell them apart.
MORE_ACTIONS = ("noop", "thinks")
NONE = (None, False)


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Writes a file for `read_checkpoint`, atomically and with its checksum. ``torch.load`` reads it too.

    Raises:
        UserError: it cannot be written (because the disk is full, for example).
    """
    content = io.BytesIO()  # on a full disk torch would end the process with an error of C++
    torch.save(checkpoint, content)
    seal_zip(content)
    with written(path) as part:
        part.write_bytes(content.getbuffer())


def read_checkpoint(path: str | Path, key: str = "checkpoint") -> dict[str, Any]:
    """Reads a checkpoint as tensors and plain types.

    Args:
        path: of a file, or agents:/NAME.
        key: config key that names the checkpoint, for messages.

    Raises:
        UserError: there is no such file, it is damaged, or it is not a checkpoint of drc_lab. The message names the
            newest whole one of the same training.
    """
    path = local_file(str(path), key)
    try:
        return _read(path, f"{key}: {str(path)!r}")
    except _Damaged as error:
        raise UserError(f"{error}{_instead_of(path, key)}") from error.__cause__


class _Damaged(UserError):
    """A checkpoint is not what was written."""


def _read(path: Path, source: str) -> dict[str, Any]:
    """`read_checkpoint` of a file that exists; messages begin with ``source``."""
    try:
        checkpoint = read_torch(path)
        fault = fault_in_zip(path)
    except Exception as error:  # damaged files make torch raise errors of many types
        if (fault := fault_in_zip(path)) is None and isinstance(error, UserError):
            raise
        raise _Damaged(f"{source} {fault or 'cannot be read, it is damaged or not one of drc_lab'}") from error
    if fault is not None:
        raise _Damaged(f"{source} {fault}")
    if not isinstance(checkpoint, dict) or not {"config", "state_dict"} <= set(checkpoint):
        raise UserError(f"{source} holds no config and state_dict, it is not one of drc_lab")
    return dict(checkpoint) | _checked(checkpoint, source)


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


def newest_whole(folder: Path, but: str = "") -> tuple[int, Path] | None:
    """The undamaged checkpoint of a training that has the most frames, and their number; None if there is none.

    Args:
        folder: of the training's checkpoints.
        but: name of a file to leave out.
    """
    whole: list[tuple[int, str]] = []
    for path in folder.glob("*.ckpt"):
        if path.name != but:
            with suppress(UserError):
                whole.append((int(_read(path, path.name).get("frames", 0)), path.name))
    if not whole:
        return None
    frames, name = max(whole)
    return frames, folder / name


def _instead_of(path: Path, key: str) -> str:
    """The end of a message about a damaged checkpoint: the newest whole one in the folder of its training."""
    if path.parent.name != FOLDER:  # what lies beside it may be of other trainings
        return ""
    newest = newest_whole(path.parent, but=path.name)
    if newest is None:
        return "; no other checkpoint beside it is whole" + ("; resume=never begins anew" if key == "resume" else "")
    frames, other = newest
    use = command_with(key, other) if HydraConfig.initialized() else f"{key}={other}"
    return f"; the newest whole one beside it is {other.name}, of {frames:,} frames. Go on with it:  {use}"


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
    saved, expected = weights_in(checkpoint), policy.state_dict()
    for weight in [*expected, *saved]:
        found, needed = (tuple(w[weight].shape) if weight in w else None for w in (saved, expected))
        if found != needed:
            has, takes = (f"{weight} {shape}" if shape is not None else f"no {weight}" for shape in (found, needed))
            raise ConfigError("checkpoint", name, f"one with {takes}, as this training's policy, not {has}")
    policy.load_state_dict(saved)
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

"""Builds the envs and the policy that a config describes, and reports mistakes by config key."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig

from drc_lab.arguments import errors_under, from_mapping, plain
from drc_lab.building import build_a
from drc_lab.envs.external import GymVectorEnv
from drc_lab.envs.from_config import EnvArguments, env_arguments
from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.specs.levels import LevelEnvSpec
from drc_lab.errors import UserError
from drc_lab.models.check import check_number_of_weights, check_policy
from drc_lab.models.policy import Policy
from drc_lab.own_code import described
from drc_lab.targets import TARGET, shipped


def make_env(node: DictConfig, num_envs: int, **more: Any) -> BatchEnv:
    """Builds the batch env that a config's ``env`` node describes by its ``id`` and arguments (all other keys).

    Raises:
        ConfigError: the id is unknown, or an argument is invalid.
    """
    return _made(env_arguments(plain(node)), num_envs=num_envs, **more)


def make_held_out_env(
    node: DictConfig,
    split: str,
    num_levels: int,
    level_seed: int,
    num_envs: int | None = None,
    board_size: tuple[int, int] | None = None,
    **more: Any,
) -> BatchEnv:
    """Builds a batch env that plays each held-out level once, in order.

    Args:
        node: config node of the training env.
        split, num_levels, level_seed: which levels; a fixed set without splits is used as a whole.
        num_envs: number of envs; None is one for each level.
        board_size: height and width of generated levels; None is as in training.
        more: arguments that replace those of the node.

    Raises:
        ConfigError: as in `make_env`, and about ``board`` if the levels have a fixed size.
    """
    arguments = env_arguments(plain(node)).held_out(split, num_levels, level_seed, board_size)
    arguments = replace(arguments, values=arguments.values | more)
    if num_envs is None and arguments.values.get("num_levels") is None:
        num_envs = len(_made(arguments, num_envs=1).levels.levels)
    return _made(arguments, num_envs=num_envs or num_levels)


def _made(arguments: EnvArguments, **more: Any) -> Any:
    """The batch env with these arguments and ``more``.

    Raises:
        ConfigError: an argument is invalid.
        UserError: a game from outside of this package raised another error.
    """
    if arguments.game is None:
        return from_mapping(GymVectorEnv, arguments.values, "env", **more)
    try:
        spec = arguments.make_spec(**more)
        assert isinstance(spec, LevelEnvSpec)
        with errors_under("env"):
            return arguments.game.make(spec)
    except UserError:
        raise
    except Exception as error:
        if arguments.game.shipped:
            raise
        raise UserError(f"env: {described(error)}") from error


def completed(env: Mapping[str, Any]) -> dict[str, Any]:
    """An env's settings, with defaults for missing arguments, such as those that were added after they were saved."""
    parameters = inspect.signature(env_arguments(env).spec_class).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty} | dict(env)


def check_size(node: DictConfig, obs_shape: Any, num_actions: int) -> None:
    """Refuses a policy of this package that has more weights than fit into memory.

    Raises:
        ConfigError: the policy would be too large, or cannot be built.
    """
    if str(node.get(TARGET)).startswith("drc_lab."):
        more = {"obs_shape": obs_shape, "num_actions": num_actions}
        check_number_of_weights(lambda: build_a(Policy, node, "policy", **more), "policy")


def build_policy(node: DictConfig, env: BatchEnv) -> Policy:
    """Builds the policy that a config's ``policy`` node describes, for the observations and actions of an env.

    Raises:
        ConfigError: ``_target_`` is not a policy, or does not fulfil the interface of `Policy`.
    """
    space, actions = env.single_observation_space, int(env.single_action_space.n)
    check_size(node, space.shape, actions)
    policy: Policy = build_a(Policy, node, "policy", obs_shape=space.shape, num_actions=actions)
    if not shipped(policy):
        check_policy(policy, space, actions, f"policy.{TARGET}", node[TARGET])
    return policy

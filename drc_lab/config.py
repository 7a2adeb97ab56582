"""Builds objects from config nodes, and reports mistakes by config key.

Configs mirror constructors one to one: ``_target_`` names the class or function, and every other key is an argument.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import hydra
import torch
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from drc_lab.arguments import check_types, errors_under, from_mapping, join, plain
from drc_lab.envs.external import GymVectorEnv, find_spec
from drc_lab.envs.from_config import SPECS, env_arguments
from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.specs.external import GymSpec
from drc_lab.errors import ConfigError, UserError
from drc_lab.memory import check_memory
from drc_lab.models.check import check_policy
from drc_lab.models.policy import Policy
from drc_lab.targets import TARGET, locate, own_frames, shipped, told

BYTES_OF_A_WEIGHT = 16  # float32: the weight, its gradient, and the two moment estimates of Adam


def build(node: DictConfig, key: str, **more: Any) -> Any:
    """Instantiates a config node.

    Args:
        node: the node, with a ``_target_``.
        key: config key of the node, for messages.
        more: arguments that the config does not have.

    Raises:
        ConfigError: a value has the wrong type, or the constructor refuses it.
        UserError: the constructor raised another error.
    """
    values = plain(node) if OmegaConf.is_dict(node) else {}
    function = locate(values.get(TARGET), join(key, TARGET))
    if inspect.isabstract(function) and not values.get("_partial_"):
        lacks = ", ".join(sorted(getattr(function, "__abstractmethods__", ())))
        raise ConfigError(join(key, TARGET), values[TARGET], f"a class that has {lacks}, which this one lacks")
    for name, inner in values.items():
        if isinstance(inner, dict) and TARGET in inner:
            locate(inner[TARGET], join(key, f"{name}.{TARGET}"))
    fitting = check_types(function, {k: v for k, v in values.items() if not k.startswith("_")}, key)
    with user_errors_under(key):
        return hydra.utils.instantiate(node, **fitting, **more)


def build_a(kind: type, node: DictConfig, key: str, **more: Any) -> Any:
    """`build` for targets that may be the user's own, which checks that the result is a ``kind``.

    Raises:
        ConfigError: as in `build`, and if the result is not a ``kind``.
    """
    target = locate(node.get(TARGET) if OmegaConf.is_dict(node) else None, join(key, TARGET))
    returned = getattr(target, "__annotations__", {}).get("return")
    known = target if inspect.isclass(target) else returned  # None without annotation: checked once built
    built = None if inspect.isclass(known) and not issubclass(known, kind) else build(node, key, **more)
    if not isinstance(built, kind):
        name = f"{kind.__module__}.{kind.__qualname__}"
        raise ConfigError(join(key, TARGET), node[TARGET], f"a subclass of {name}, or a function that returns one")
    return built


@contextmanager
def user_errors_under(key: str) -> Iterator[None]:
    """`errors_under` that also handles the exceptions in which Hydra's instantiate wraps errors."""
    try:
        with errors_under(key):
            yield
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, ConfigError):
            raise cause.under(key) from None
        if isinstance(cause, UserError):
            raise cause from None
        # A constructor refused its arguments. If it is the user's own code, the message includes the line.
        text = told(cause) if cause and own_frames(cause) else " ".join(str(cause or error).split())
        raise UserError(f"{key}: {text}") from error


def make_env(node: DictConfig, num_envs: int, **more: Any) -> BatchEnv:
    """Builds the batch env that a config's ``env`` node describes by its ``id`` and arguments (all other keys).

    Raises:
        ConfigError: the id is unknown, or an argument is invalid.
    """
    settings = plain(node)
    return from_mapping(_env_class(settings["id"]), env_arguments(settings).values, "env", num_envs=num_envs, **more)


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
    settings = plain(node)
    values = env_arguments(settings).held_out(split, num_levels, level_seed, board_size).values | more
    env_class = _env_class(settings["id"])
    if num_envs is None and values.get("num_levels") is None:
        num_envs = len(from_mapping(env_class, values, "env", num_envs=1).levels.levels)
    return from_mapping(env_class, values, "env", num_envs=num_envs or num_levels)


def _env_class(env_id: str) -> Any:
    """The class of the batch env with that id."""
    if env_id in SPECS:
        return gym.envs.registration.load_env_creator(str(find_spec(env_id).vector_entry_point))
    return GymVectorEnv


def completed(env: Mapping[str, Any]) -> dict[str, Any]:
    """An env's settings, with defaults for missing arguments, such as those that were added after they were saved."""
    parameters = inspect.signature(SPECS.get(str(env["id"]), GymSpec)).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty} | dict(env)


def check_size(node: DictConfig, obs_shape: Any, num_actions: int) -> None:
    """Refuses a policy of this package that has more weights than fit into memory.

    Raises:
        ConfigError: the policy would be too large, or cannot be built.
    """
    if str(node.get(TARGET)).startswith("drc_lab."):
        with torch.device("meta"):  # nothing is allocated
            policy: Policy = build_a(Policy, node, "policy", obs_shape=obs_shape, num_actions=num_actions)
        weights = sum(weight.numel() for weight in policy.parameters())
        check_memory("policy (number of weights)", weights, BYTES_OF_A_WEIGHT)


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

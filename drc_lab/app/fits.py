"""Whether a policy can play in an env other than the one that it was built for. Light to import."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from drc_lab.errors import ConfigError

if TYPE_CHECKING:
    from drc_lab.envs.interface import BatchEnv
    from drc_lab.models.policy import Policy


def check_fits(policy: "Policy", num_actions: int, env: "BatchEnv", key: str) -> None:
    """Checks that a policy can play in an env other than the one it was built for.

    Args:
        policy: the policy.
        num_actions: that the policy chooses from.
        env: to play in.
        key: config key that the env comes from.

    Raises:
        ConfigError: its observations or actions do not fit the policy.
    """
    shape, actions = env.single_observation_space.shape, int(env.single_action_space.n)
    assert shape is not None
    check_reads(policy.obs_shape, policy.reads(shape), shape, key)
    game_actions = num_actions - (env.think_action is not None)  # the policy may not know a last no-op
    check_actions(num_actions, actions, env.noop_action == game_actions, key)


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

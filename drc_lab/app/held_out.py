"""The held-out levels that a config describes, and whether a policy can play them."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from drc_lab.app.checked import check_actions, check_reads, errors_name_origin, evaluation_spec, held_out_settings
from drc_lab.config import make_held_out_env
from drc_lab.envs.interface import BatchEnv
from drc_lab.models.policy import Policy


def held_out_env(config: DictConfig, split: str, key: str = "evaluation.split", **more: Any) -> BatchEnv:
    """Makes an env with the held-out levels of a split; ``evaluation.env`` overrides the training env's settings.

    Args:
        config: the whole config.
        split: of the levels.
        key: config key that the split comes from, for errors.
        **more: further arguments of `make_held_out_env`.

    Raises:
        ConfigError: about the key that an invalid setting comes from.
    """
    e, node = evaluation_spec(config), OmegaConf.create(held_out_settings(config))
    with errors_name_origin(config, key):
        return make_held_out_env(node, split, e.num_levels, e.level_seed, board_size=e.board_size, **more)


def check_fits(policy: Policy, num_actions: int, env: BatchEnv, key: str) -> None:
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

"""The held-out levels that a config describes, and whether a policy can play them."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from drc_lab.app.checked import check_actions, check_reads, evaluation_spec, held_out_settings, told_by_origin
from drc_lab.config import make_held_out_env
from drc_lab.envs.interface import BatchEnv
from drc_lab.models.policy import Policy


def held_out_env(config: DictConfig, split: str, key: str = "evaluation.split", **more: Any) -> BatchEnv:
    """The held-out levels of a split, see `make_held_out_env`; ``evaluation.env`` stands in for training's settings.

    Raises:
        ConfigError: about the key that the setting comes from; ``key`` is that of the split.
    """
    e, node = evaluation_spec(config), OmegaConf.create(held_out_settings(config))
    with told_by_origin(config, key):
        return make_held_out_env(node, split, e.num_levels, e.level_seed, board_size=e.board_size, **more)


def check_fits(policy: Policy, num_actions: int, env: BatchEnv, key: str) -> None:
    """Whether a policy can play in an env that may not be the one it was built for.

    Args:
        policy: chooses from ``num_actions``.
        env: to play in.
        key: what the env comes from.

    Raises:
        ConfigError: its observations or actions are others than the policy's.
    """
    shape, actions = env.single_observation_space.shape, int(env.single_action_space.n)
    assert shape is not None
    check_reads(policy.obs_shape, policy.reads(shape), shape, key)
    game_actions = num_actions - (env.think_action is not None)  # of which the policy may not know a last no-op
    check_actions(num_actions, actions, env.noop_action == game_actions, key)

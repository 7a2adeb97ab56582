"""What does not fit into memory is refused before it is begun."""

import gymnasium as gym
import psutil
import pytest

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.errors import ConfigError
from drc_lab.evaluation.play.memory import bytes_per_level
from drc_lab.memory import check_memory
from drc_lab.models.drc import DRCPolicy


def test_bytes_of_a_level_are_those_of_its_carry_and_observation():
    env = gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=1, height=6, width=4)
    policy = DRCPolicy(env.single_observation_space.shape, 8, hidden_channels=5, num_layers=2, proj_dim=8)
    hidden_and_cell = 2 * 2 * 5 * 6 * 4 * 4
    assert bytes_per_level(policy, env) == 3 * (hidden_and_cell + 8 * 6 * 4)


def test_more_than_half_of_what_is_free_is_refused_with_the_most_that_fits():
    free = psutil.virtual_memory().available
    check_memory("thinking.levels_at_once", 1000, free // 4000)
    with pytest.raises(
        ConfigError, match=r"thinking.levels_at_once: found 1000, allowed: up to \d\d\d: .* GiB are free"
    ):
        check_memory("thinking.levels_at_once", 1000, free // 1000)

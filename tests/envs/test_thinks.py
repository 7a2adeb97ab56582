"""The action "think": it stops the env, costs what it is said to cost, and is not there for who does not use it."""

import pickle

import gymnasium as gym
import numpy as np
import pytest

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.envs.external import GymVectorEnv
from drc_lab.errors import ConfigError

RICOCHET, SOKOBAN = "drc_lab/RicochetRobots-v0", "drc_lab/Sokoban-v0"
CORRIDOR = "#########\n#@ $   .#\n#########"  # five pushes to the right, the first after a step
games = pytest.mark.parametrize("env_id", [RICOCHET, SOKOBAN])


def corridor(**options):
    return gym.make_vec(SOKOBAN, level=CORRIDOR, **{"num_envs": 2, "max_steps": 4} | options)


def test_thinks_are_free_then_steps_and_end_the_episode():
    """Two free ones; two moves; then two that use up the four steps. The other board walks on."""
    env = corridor(thinks=2, autoreset=False)
    think = env.think_action
    assert (think, env.noop_action, env.single_action_space.n, env.action_names[-1]) == (4, None, 5, "think")
    first, info = env.reset(seed=0)
    assert info["thinks"].tolist() == [0, 0]
    before = first[0]
    for action, thinks, length, total, over in (
        (think, 1, 0, 0.0, False), (think, 2, 0, 0.0, False), (3, 2, 1, -0.1, False), (think, 3, 2, -0.1, False),
        (3, 3, 3, -0.2, False), (think, 4, 4, -0.2, True),
    ):  # fmt: skip
        given = np.array([action, 2])
        obs, reward, terminated, truncated, info = env.step(given)
        assert given.tolist() == [action, 2], "the caller's array stays as it is"
        assert (info["thinks"][0], info["length"][0]) == (thinks, length)
        assert reward[0] == (0 if action == think else -0.1) and info["return"][0] == pytest.approx(total)
        assert (obs[0] == before).all() == (action == think)
        assert truncated[0] == over and not terminated[0]
        before = obs[0]
    assert info["thinks"][1] == 0 and info["length"][1] == 6


def test_without_free_ones_each_is_a_step():
    env = corridor(thinks=0, autoreset=False)
    env.reset(seed=0)
    for step in range(1, 5):
        _, _, _, truncated, info = env.step(np.array([4, 3]))
        assert info["length"].tolist() == [step, step] and truncated[0] == (step == 4)


def test_the_next_episode_begins_with_all_free_ones_again_and_final_info_says_what_the_last_one_had():
    env = corridor(thinks=1, max_steps=1)
    env.reset(seed=0)
    env.step(np.array([4, 4]))
    _obs, reward, _, truncated, info = env.step(np.array([4, 4]))
    assert truncated.all() and (reward == 0).all()
    assert info["final_info"]["thinks"].tolist() == [2, 2] and info["final_info"]["length"].tolist() == [1, 1]
    assert info["thinks"].tolist() == [0, 0] and info["length"].tolist() == [0, 0]
    *_, truncated, info = env.step(np.array([4, 3]))
    assert truncated.tolist() == [False, True] and info["length"].tolist() == [0, 0]


@games
def test_never_used_it_changes_nothing_and_another_board_does_not_notice_it(env_id):
    """Same levels, observations and rewards; and of a board that thinks, those of one that was told to stand still."""
    plain, own = (gym.make_vec(env_id, num_envs=6, max_steps=9, noop=True, **more) for more in ({}, {"thinks": 10**6}))
    for env in (plain, own):
        _first, _ = env.reset(seed=3)
    assert plain.noop_action == own.noop_action
    rng = np.random.default_rng(0)
    for step in range(200):
        actions = rng.integers(0, plain.single_action_space.n, 6)
        paused = (rng.random(6) < 0.4) & (step >= 100)
        there = plain.step(actions, paused)
        here = own.step(np.where(paused, own.think_action, actions))
        for a, b in zip(there[:4], here[:4], strict=True):
            np.testing.assert_array_equal(a, b)
        for key in ("level", "length", "return", "solved"):
            np.testing.assert_array_equal(there[4][key], here[4][key])
    assert "thinks" not in there[4] and here[4]["thinks"].any()


@games
def test_a_pass_that_the_env_is_told_to_make_is_no_think(env_id):
    env = gym.make_vec(env_id, num_envs=2, thinks=0)
    env.reset(seed=0)
    *_, info = env.step(np.full(2, env.think_action), np.array([True, False]))
    assert info["thinks"].tolist() == [0, 1] and info["length"].tolist() == [0, 1]


@games
def test_the_state_goes_on_bit_for_bit_also_amid_thinking(env_id):
    settings = {"num_envs": 5, "max_steps": [2, 6], "thinks": 2}
    env, other = (gym.make_vec(env_id, **settings) for _ in range(2))
    env.reset(seed=0), other.reset(seed=9)
    actions = np.random.default_rng(0).integers(0, env.single_action_space.n, (60, 5))
    actions[np.random.default_rng(1).random((60, 5)) < 0.5] = env.think_action
    for each in actions[:30]:
        env.step(each)
    assert env.thinks.any()
    other.set_state(pickle.loads(pickle.dumps(env.get_state())))
    for each in actions[30:]:
        for a, b in zip(env.step(each)[:4], other.step(each)[:4], strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(env.thinks, other.thinks)


@games
def test_a_state_from_before_there_was_the_action_goes_on(env_id):
    env = gym.make_vec(env_id, num_envs=2)
    env.reset(seed=0)
    state = env.get_state()
    del state["episodes"]["thinks"]
    env.set_state(state)
    *_, info = env.step(np.zeros(2, int))
    assert not env.thinks.any() and (info["length"] == 1).all()


@games
def test_thinking_is_always_allowed_and_the_game_knows_nothing_of_it(env_id):
    env = gym.make_vec(env_id, num_envs=3, thinks=1, action_masks=True)
    _, info = env.reset(seed=0)
    assert env.action_masks().shape == (3, env.single_action_space.n) and env.action_masks()[:, -1].all()
    np.testing.assert_array_equal(info["action_mask"], env.action_masks())
    np.testing.assert_array_equal(env.action_masks()[:, :-1], env.batch.action_masks())
    assert len(env.batch.action_names) == env.think_action
    with pytest.raises(ValueError, match=f"of 0 to {env.think_action}"):
        env.step(np.full(3, env.think_action + 1))
    single = gym.make(env_id, thinks=1).unwrapped
    _, info = single.reset(seed=0)
    assert single.action_space.n == env.single_action_space.n and info["thinks"] == 0


def test_a_mistake_is_one_line():
    for env_id in (RICOCHET, SOKOBAN):
        with pytest.raises(
            ConfigError, match="thinks: found -1, allowed: 0 or more, or null for no action that thinks"
        ):
            gym.make_vec(env_id, num_envs=1, thinks=-1)
    with pytest.raises(TypeError, match="thinks"):
        GymVectorEnv("CartPole-v1", thinks=1)

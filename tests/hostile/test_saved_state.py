"""The state in somebody's checkpoint: compiled code checks no index, so boards that cannot be are refused before."""

import gymnasium as gym
import numpy as np
import pytest

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.errors import UserError
from drc_lab.interpretation.episodes import Episode
from drc_lab.interpretation.pictures.galleries import board_picture
from drc_lab.learning.checkpointing import in_the_folder

SOKOBAN, RICOCHET = "drc_lab/Sokoban-v0", "drc_lab/RicochetRobots-v0"


def wrong(array, index, value):
    changed = array.copy()
    changed[index] = value
    return changed


CHANGES = {
    "a tile of no kind": (SOKOBAN, "tiles", lambda a: wrong(a, (0, 20), 7)),
    "an open border": (SOKOBAN, "tiles", lambda a: wrong(a, (0, 3), 1)),
    "a player off the board": (SOKOBAN, "player", lambda a: wrong(a, 0, 10**9)),
    "a player before the board": (SOKOBAN, "player", lambda a: wrong(a, 0, -1)),
    "a player in a wall": (SOKOBAN, "player", lambda a: wrong(a, 0, 0)),
    "boards of another size": (SOKOBAN, "tiles", lambda a: a[:, :-1]),
    "numbers of another kind": (SOKOBAN, "player", lambda a: a * 0.5),
    "a robot off the board": (RICOCHET, "robots", lambda a: wrong(a, (1, 0), 25)),
    "a goal off the board": (RICOCHET, "goal", lambda a: wrong(a, 1, -3)),
    "a target that is no robot": (RICOCHET, "target", lambda a: wrong(a, 0, 2)),
    "a wall on a fifth side": (RICOCHET, "walls", lambda a: wrong(a, (0, 0), 16)),
    "an open border of a board": (RICOCHET, "walls", lambda a: wrong(a, (0, 0), 0)),
    "no walls": (RICOCHET, "walls", np.zeros_like),
    "a target robot that is absent": (RICOCHET, "robots", lambda a: np.full_like(a, -1)),
}


@pytest.mark.parametrize(("env_id", "name", "change"), CHANGES.values(), ids=CHANGES)
def test_boards_that_cannot_be_are_refused(env_id, name, change):
    env = gym.make_vec(env_id, num_envs=2)
    env.reset(seed=0)
    state = env.get_state()
    state["batch"][name] = change(state["batch"][name])
    with pytest.raises(UserError, match=r"^the saved state of the envs is damaged: "):
        env.set_state(state)


@pytest.mark.parametrize(("env_id", "name", "change"), CHANGES.values(), ids=CHANGES)
def test_recorded_boards_that_cannot_be_are_refused(env_id, name, change):
    env = gym.make_vec(env_id, num_envs=2)
    env.reset(seed=0)
    boards = {name: getattr(env.batch, name).copy() for name in env.batch.STATE}
    boards[name] = change(boards[name])
    episode = Episode(0, boards, np.zeros(1, int), np.zeros(1, bool), np.zeros(2), False, 5, 5)
    with pytest.raises(UserError, match=r"^the saved state of the envs is damaged: "):
        for step in range(2):
            board_picture(env, episode, step)


@pytest.mark.parametrize(("part", "name", "value"), [
    ("episodes", "level", np.zeros(3, np.int64)), ("episodes", "total", np.array(["a", "b"])),
    ("episodes", "begun", -1), ("levels", "position", -5), ("levels", "position", 2**70),
    ("levels", "seed", "a"), ("levels", "seed", None),
])  # fmt: skip
def test_episodes_and_streams_that_cannot_be_are_refused(part, name, value):
    env = gym.make_vec(SOKOBAN, num_envs=2)
    env.reset(seed=0)
    state = env.get_state()
    state[part][name] = value
    with pytest.raises(UserError, match=rf"^the saved state of the envs is damaged: {name}$"):
        env.set_state(state)


@pytest.mark.parametrize("change", [{"stage": 9}, {"stage": -1}, {"streams": []}, {"solved": 0.5}])
def test_a_curriculum_that_cannot_be_is_refused(change):
    curriculum = {"stages": [{"num_boxes": 1}, {"num_boxes": 2}]}
    env = gym.make_vec(SOKOBAN, num_envs=2, height=7, width=7, curriculum=curriculum)
    env.reset(seed=0)
    state = env.get_state()
    state["levels"] |= change
    with pytest.raises(UserError, match=r"^the saved state of the envs is damaged: "):
        env.set_state(state)


@pytest.mark.parametrize("env_id", [SOKOBAN, RICOCHET])
def test_every_state_of_an_episode_is_possible(env_id):
    env, other = (gym.make_vec(env_id, num_envs=64, height=7, width=7) for _ in range(2))
    other.reset(seed=5)
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(60):
        obs, *_ = env.step(env.action_space.sample())
        other.set_state(env.get_state())
        np.testing.assert_array_equal(other.batch.observation, obs)


def test_kept_checkpoints_lie_in_their_folder():
    names = ["frames-000000000640.ckpt", "../frames-1.ckpt", "/tmp/frames-1.ckpt", "frames-1.ckpt/../../a.ckpt", 3]
    assert in_the_folder([{"name": name} for name in names]) == [{"name": names[0]}]

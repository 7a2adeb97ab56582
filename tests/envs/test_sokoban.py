"""Sokoban: rules, rewards, observations, symmetries, and where levels come from."""

import gymnasium as gym
import numpy as np
import pytest
from plain_sokoban import plain_start, plain_step

import drc_lab  # noqa: F401
from drc_lab.envs.sokoban.level import BOX, FLOOR, PALETTE, PLAYER, WALL, Level, Levels
from drc_lab.envs.sokoban.symmetry import transform
from drc_lab.envs.symmetry import DIRECTIONS
from drc_lab.errors import ConfigError

ENV = "drc_lab/Sokoban-v0"
UP, DOWN, LEFT, RIGHT, NOOP = range(5)
CORRIDOR = """
#######
#@$.$.#
#######
"""
ROOM = """
#####
#@  #
# $.#
#.$ #
#   #
#####
"""


def make(level=ROOM, **settings):
    env = gym.make(ENV, level=level, **settings)
    env.reset(seed=0)
    return env.unwrapped


def test_moves_and_rewards_equal_the_plain_rule_on_thousands_of_steps():
    env = gym.make_vec(ENV, num_envs=40, height=7, width=6, num_boxes=3, max_steps=10**6, autoreset=False)
    env.reset(seed=1)
    played = [plain_start(tiles.reshape(7, 6)) for tiles in env.batch.tiles]
    rng = np.random.default_rng(0)
    for _ in range(200):
        actions = rng.integers(0, 4, 40)
        _, rewards, terminated, *_ = env.step(actions)
        for b, (walls, targets, before) in enumerate(played):
            after, _ = plain_step(walls, before, actions[b])
            gained = len(after[1] & targets) - len(before[1] & targets)
            solved = after[1] == targets
            assert rewards[b] == pytest.approx(-0.1 + gained + 10 * (solved and before[1] != targets))
            assert terminated[b] == solved
            now = env.batch.tiles[b].reshape(7, 6)
            assert plain_start(now) == (walls, targets, after)
            played[b] = walls, targets, after


def test_rewards_of_the_published_agents_by_hand():
    env = make(CORRIDOR, noop=True)
    assert env.step(NOOP)[1:4] == (pytest.approx(-0.1), False, False)
    assert env.step(UP)[1] == pytest.approx(-0.1)  # into the wall
    assert env.step(RIGHT)[1] == pytest.approx(0.9)  # first box on its target
    assert env.step(RIGHT)[1] == pytest.approx(-0.1)  # blocked by the second box
    env = make("#####\n#@$.#\n#####")
    assert env.step(RIGHT)[1:4] == (pytest.approx(10.9), True, False)
    env = make("######\n#@*  #\n#  .$#\n######")
    assert env.step(RIGHT)[1] == pytest.approx(-1.1)  # off its target


def test_solving_on_the_last_step_is_termination_not_truncation():
    level = "#####\n#@$.#\n#####"
    for limit, action, expected in ((1, RIGHT, (True, False)), (1, LEFT, (False, True)), (2, LEFT, (False, False))):
        assert make(level, max_steps=limit).step(action)[2:4] == expected


def test_tiny_rgb_and_planes_by_hand():
    text = "######\n#@$.*#\n#    #\n######"
    env = make(text)
    obs, _ = env.reset()
    tiles = Level.from_text(text).tiles
    np.testing.assert_array_equal(obs, PALETTE[tiles].transpose(2, 0, 1))
    assert obs[:, 0, 0].tolist() == [0, 0, 0] and obs[:, 1, 1].tolist() == [160, 212, 56]
    assert obs[:, 1, 2].tolist() == [142, 121, 56] and obs[:, 1, 3].tolist() == [254, 126, 125]
    assert obs[:, 1, 4].tolist() == [254, 95, 56] and obs[:, 2, 2].tolist() == [243, 248, 238]
    env.step(DOWN)
    planes = make(text, observation="planes", crop_border=True)
    obs, _ = planes.reset()
    assert obs.shape == (7, 2, 4) and obs.dtype == np.uint8
    np.testing.assert_array_equal(obs.argmax(0), tiles[1:-1, 1:-1])
    np.testing.assert_array_equal(obs.sum(0), 255)


def test_player_on_a_target_has_its_own_colour_and_leaves_the_target_behind():
    env = make("####\n#@.#\n#$ #\n#  #\n####")
    obs, *_ = env.step(RIGHT)
    assert obs[:, 1, 2].tolist() == [219, 212, 56]
    obs, *_ = env.step(LEFT)
    assert obs[:, 1, 2].tolist() == [254, 126, 125]


def test_a_users_own_level_goes_in_as_text_or_object_and_several_at_once():
    for form in (ROOM, Level.from_text(ROOM), [ROOM, CORRIDOR]):
        env = gym.make(ENV, level=form, render_mode="ansi", order="sequential")
        _, info = env.reset(seed=0)
        assert "@" in env.render() and info["optimal"] == -1
    env.reset()
    assert env.render().splitlines()[:3] == ["#######", "#@$.$.#", "#######"]


def test_generated_levels_are_solvable_with_their_stated_optimum_at_hand():
    from drc_lab.envs.sokoban import solve

    env = gym.make(ENV, min_optimal=3)
    for _ in range(10):
        env.reset()
        batch = env.unwrapped.vector.batch
        solution = solve(batch.tiles[0].reshape(7, 7))
        assert len(solution) == batch.optimal[0] >= 3
        ends = [env.step(action)[2] for action in solution.actions]
        assert ends == [False] * (len(solution) - 1) + [True]


def test_published_solutions_give_the_optimum_once_they_are_replayed(tmp_path):
    level = "\n".join(["#" * 10, "#@ $ .   #", *["#        #"] * 7, "#" * 10])
    (tmp_path / "000.txt").write_text(f"; 0\n{level}\n\n; 1\n{level}\n\n")
    (tmp_path / "solutions.csv").write_text("File,Level,Actions\n000,0,111\n000,1,11\n")
    env = gym.make_vec(ENV, num_envs=2, levels=str(tmp_path), solutions=str(tmp_path / "solutions.csv"))
    _, info = env.reset(seed=0)
    assert dict(zip(info["level"].tolist(), info["optimal"].tolist(), strict=True)) == {0: 3, 1: -1}


@pytest.mark.parametrize("symmetry", range(8))
def test_playing_the_turned_level_turns_everything_that_happens(symmetry):
    levels = Levels.pack([Level.from_text(ROOM)] * 8)
    turned = transform(levels, symmetry)
    a, b = make(levels.level(0)), make(turned.level(0))
    rng = np.random.default_rng(symmetry)
    for _ in range(200):
        action = int(rng.integers(4))
        one, two = a.step(action), b.step(int(DIRECTIONS[symmetry, action]))
        assert one[1:4] == two[1:4]
        now = Levels(a.vector.batch.tiles.reshape(1, 6, 5), levels.optimal[:1], levels.pushes[:1])
        np.testing.assert_array_equal(transform(now, symmetry).tiles.ravel(), b.vector.batch.tiles[0])


def test_a_mix_of_symmetries_needs_levels_that_keep_their_size():
    with pytest.raises(ConfigError, match="all or none of them"):
        transform(Levels.pack([Level.from_text(ROOM)] * 2), np.array([0, 4]))


def test_the_codes_are_the_order_that_others_use():
    assert (WALL, FLOOR, BOX, PLAYER) == (0, 1, 4, 5)

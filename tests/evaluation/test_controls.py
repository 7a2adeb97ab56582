"""Controls: what they can know and do, by hand; and that what cannot think gains exactly nothing from thinking."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from no_thinking import thinking

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.envs.external import GymVectorEnv
from drc_lab.envs.ricochet.level import Board, border
from drc_lab.envs.vector import game_of
from drc_lab.errors import ConfigError
from drc_lab.evaluation.kinds.controls import Distance
from drc_lab.evaluation.kinds.first_passes import FirstPasses
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.evaluation.play.players import WithoutMemory
from drc_lab.evaluation.play.sweep import sweep
from drc_lab.models.cnn import SmallCNNPolicy
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.random import RandomPolicy
from drc_lab.models.resnet import ResNetPolicy

CORRIDOR = "#######\n#@ $ .#\n#######"
TWO_BOXES = "#######\n#.    #\n#@ $* #\n#     #\n#######"
GAMES = {
    "planes": ("drc_lab/RicochetRobots-v0", {"observation": "planes"}),
    "symbolic": ("drc_lab/RicochetRobots-v0", {"observation": "symbolic"}),
    "rgb": ("drc_lab/RicochetRobots-v0", {"observation": "rgb"}),
    "sokoban": ("drc_lab/Sokoban-v0", {"height": 6, "width": 6}),
    "cropped": ("drc_lab/Sokoban-v0", {"height": 6, "width": 6, "crop_border": True, "observation": "planes"}),
}


def levels_of(env_id, n, **kwargs):
    return gym.make_vec(env_id, num_envs=n, num_levels=n, order="sequential", autoreset=False, noop=True, **kwargs)


def distance_player(env, seed=0):
    actions = int(env.single_action_space.n)
    return Distance().player(RandomPolicy(env.single_observation_space.shape, actions), env, seed)


def test_distances_by_hand():
    robots = gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=1, layout="v0", autoreset=False)
    robots.reset(seed=0)
    assert game_of(robots).distance_estimate().tolist() == [2]  # from (0, 1) to (0, 3)
    robots.step(np.array([1]))
    assert game_of(robots).distance_estimate().tolist() == [5]
    second = Board(*border(4, 4), ((0, 0), (3, 2)), (0, 3), target=1)
    robots = gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=1, board=second, autoreset=False)
    robots.reset(seed=0)
    assert game_of(robots).distance_estimate().tolist() == [4]  # of the robot that has to get there
    for level, distance in ((CORRIDOR, 2 + 2 / (3 + 7)), (TWO_BOXES, 1 + 2 / (5 + 7))):
        env = gym.make_vec("drc_lab/Sokoban-v0", num_envs=1, level=level, autoreset=False)
        env.reset(seed=0)
        assert game_of(env).distance_estimate().tolist() == [pytest.approx(distance)]
    corridor = gym.make_vec("drc_lab/Sokoban-v0", num_envs=1, level=CORRIDOR, autoreset=False)
    corridor.reset(seed=0)
    for _ in range(3):
        corridor.step(np.array([3]))
    assert game_of(corridor).distance_estimate().tolist() == [0]


@pytest.mark.parametrize("name", GAMES)
def test_looking_a_step_ahead_leaves_everything_as_it_was(name):
    env_id, kwargs = GAMES[name]
    env = levels_of(env_id, 20, **kwargs)
    env.reset(seed=0)
    game, rng = game_of(env), np.random.default_rng(0)
    for _ in range(5):
        env.step(rng.integers(0, len(game.action_names), 20))
        before = (game.get_state(), game.observation.copy(), game.reward.copy())
        ahead = game.after_each_action(game.distance_estimate)
        assert ahead.shape == (20, len(game.action_names))
        np.testing.assert_equal((game.get_state(), game.observation, game.reward), before)
        np.testing.assert_array_equal(ahead[:, -1], game.distance_estimate())  # the no-op
        action = rng.integers(0, len(game.action_names), 20)
        env.step(action)
        np.testing.assert_array_equal(game.distance_estimate(), ahead[np.arange(20), action])


def test_the_distance_player_goes_straight_to_what_is_near_and_changes_nothing_for_others():
    env = levels_of("drc_lab/RicochetRobots-v0", 60, max_steps=8)
    policy = DRCPolicy(env.single_observation_space.shape, 8, 4, 1, 1, proj_dim=8)
    alone = evaluate(policy, env)
    player, choose = distance_player(env)
    assert evaluate(player, env, choose=choose).solved.sum() > alone.solved.sum()

    def looking(logits, envs):
        choose(logits, envs)
        return logits.argmax(-1)

    beside = evaluate(policy, env, choose=looking)
    for name in ("solved", "length", "returns"):
        np.testing.assert_array_equal(getattr(beside, name), getattr(alone, name))
    corridor = gym.make_vec("drc_lab/Sokoban-v0", num_envs=1, level=CORRIDOR, autoreset=False, noop=True)
    player, choose = distance_player(corridor)
    assert evaluate(player, corridor, choose=choose).length.tolist() == [3]


def test_equals_are_drawn_from_the_seed_and_the_player_never_stands_still():
    env = levels_of("drc_lab/RicochetRobots-v0", 200, max_steps=1)
    taken = []
    for seed in (0, 0, 1):
        env.reset(seed=0)
        _, choose = distance_player(env, seed)
        taken.append(choose(torch.zeros(200, 9), torch.arange(200)))
    assert torch.equal(taken[0], taken[1]) and not torch.equal(taken[0], taken[2])
    assert (taken[0] != env.noop_action).all()
    assert env.action_masks()[np.arange(200), taken[0].numpy()].all()


def test_where_nothing_can_be_looked_at_ahead_the_distance_player_is_left_out_or_refused():
    foreign = GymVectorEnv("CartPole-v1")
    policy = RandomPolicy(foreign.single_observation_space.shape, 2)

    def spec(controls):
        return thinking(controls=controls)

    assert [s.kind.label for s in spec(None).settings(policy, foreign) if s.kind.is_control] == [
        "random",
        "sampled",
        "no_memory",
    ]
    with pytest.raises(ConfigError, match=r"controls: found 'distance', allowed: random \| sampled \| no_memory, as"):
        spec(["distance"]).settings(policy, foreign)
    own = levels_of("drc_lab/RicochetRobots-v0", 1)
    player = RandomPolicy(own.single_observation_space.shape, 8)
    others = ["random", "sampled", "no_memory", "distance"]
    assert [s.kind.label for s in spec(None).settings(player, own) if s.kind.is_control] == others


@pytest.mark.parametrize("kind", ["small_cnn", "resnet", "no_memory", "drc"])
def test_only_what_remembers_can_gain_from_first_passes(kind):
    env = levels_of("drc_lab/RicochetRobots-v0", 40, max_steps=6)
    shape = env.single_observation_space.shape
    drc = DRCPolicy(shape, 8, 4, 2, 2, proj_dim=8, head_init="orthogonal")
    policy = {
        "small_cnn": lambda: SmallCNNPolicy(shape, 8),
        "resnet": lambda: ResNetPolicy(shape, 8),
        "no_memory": lambda: WithoutMemory(drc),
        "drc": lambda: drc,
    }[kind]()
    records = sweep(policy.eval(), env, FirstPasses([1, 4, 16]).settings(policy, set()), 40)
    played = [
        own.drop(columns=["amount", "baseline", "passes", "ticks"]).reset_index(drop=True)
        for _, own in records.groupby("amount")
    ]
    same = [own.equals(played[0]) for own in played]
    assert same == [True] * 4 if kind != "drc" else not all(same)

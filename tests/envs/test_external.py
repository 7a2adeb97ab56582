"""Foreign envs keep the contract of our own: levels, splits, episodes, exact resume. And agents train in them."""

import io
import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete
from hand_made import register, vector
from omegaconf import OmegaConf
from torch.utils._pytree import tree_leaves

from drc_lab.config import build_policy, make_env
from drc_lab.envs.external import GymVectorEnv
from drc_lab.envs.levels import SPLITS, split_of
from drc_lab.errors import ConfigError, UserError
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.learning.rollouts import RolloutSpec, RolloutStream
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.mlp import MLPPolicy

MINIGRID = "MiniGrid-Empty-5x5-v0"


def played(env, steps, seed=0):
    """All that ``steps`` steps of random actions give."""
    rng, seen = np.random.default_rng(seed), []
    for _ in range(steps):
        obs, rewards, terminated, truncated, info = env.step(rng.integers(0, env.single_action_space.n, env.num_envs))
        seen.append((obs.copy(), rewards, terminated, truncated, {k: v for k, v in info.items() if k[0] != "_"}))
    return seen


def assert_equal(first, second):
    for a, b in zip(tree_leaves(first), tree_leaves(second), strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_equals_gymnasiums_own_env_played_from_the_same_seeds():
    env = GymVectorEnv("CartPole-v1", num_envs=3)
    singles = [gym.make("CartPole-v1") for _ in range(3)]
    obs, info = env.reset(seed=1)
    alone = [single.reset(seed=seed)[0] for single, seed in zip(singles, env.seed.tolist(), strict=True)]
    rng, total, ends = np.random.default_rng(0), np.zeros(3), 0
    for _ in range(120):
        np.testing.assert_array_equal(obs, alone)
        actions = rng.integers(0, 2, 3)
        obs, rewards, terminated, truncated, info = env.step(actions)
        for i, single in enumerate(singles):
            alone[i], reward, ended, _, _ = single.step(actions[i])
            total[i] += reward
            assert (rewards[i], terminated[i], truncated[i]) == (reward, ended, False)
            if ended:
                ends += 1
                np.testing.assert_array_equal(info["final_obs"][i], alone[i])
                assert info["_final_obs"][i] and info["final_info"]["return"][i] == total[i]
                assert info["final_info"]["length"][i] == total[i] and info["length"][i] == 0
                alone[i], total[i] = single.reset(seed=int(env.seed[i]))[0], 0
        np.testing.assert_array_equal(info["return"], total)
        assert (info["optimal"] == -1).all()
    assert ends > 6 and sorted(info["level"]) != [0, 1, 2]


@pytest.mark.parametrize(("truncated", "limit"), [(False, 3), (True, 4)])
def test_the_step_limit_stands_on_top_of_the_envs_own(truncated, limit):
    """The env's own end comes at step 4, ours at 3 or, too late, at 9. Terminated and truncated are never both."""
    env_id = register(*vector(), after=lambda steps, action: (0.0, steps == 4, steps == 4, {}))
    env = GymVectorEnv(env_id, max_steps=9 if truncated else 3)
    env.reset(seed=0)
    ends = [(t, bool(terminated[0]), bool(cut[0])) for t, (_, _, terminated, cut, _) in enumerate(played(env, 4), 1)]
    assert next(end for end in ends if end[1] or end[2]) == (limit, truncated, not truncated)


@pytest.mark.parametrize(
    ("after", "least", "solved"),
    [
        (lambda steps, action: (1.0, steps == 3, False, {"is_success": False}), 1, False),  # its own word goes first
        (lambda steps, action: (-1.0, False, steps == 3, {"success": np.float32(steps == 3)}), None, True),
        (lambda steps, action: (-1.0, steps == 3, False, {"solved": steps == 3} if steps == 3 else {}), None, True),
        (lambda steps, action: (1.0, False, steps == 3, {}), 3, True),  # the return is high enough
        (lambda steps, action: (1.0, steps == 3, False, {}), 3.5, False),
        (lambda steps, action: (-1.0, steps == 3, False, {}), -3, True),
        (lambda steps, action: (1.0, steps == 3, False, {}), None, None),  # a reward is no word of success
        (lambda steps, action: (1.0, steps == 3, False, {"is_success": None}), None, None),
    ],
)
def test_solved_is_what_the_env_says_or_a_return_that_one_sets_and_else_there_is_none(after, least, solved):
    env = GymVectorEnv(register(*vector(), after=after, reward_threshold=2), solved_return=least)
    env.reset(seed=0)
    *before, last = [info for *_, info in played(env, 3)]
    assert not any(info["solved"][0] for info in before if "solved" in info)
    assert env.says_success == (solved is not None) == ("solved" in last["final_info"])
    if solved is not None:
        assert last["final_info"]["solved"][0] == solved and not last["solved"][0]


def test_that_an_env_says_success_is_known_after_a_resume():
    """Also where it says so only at the end of an episode; a state from before this was kept tells nothing."""
    env_id = register(
        *vector(), after=lambda steps, a: (0.0, steps == 3, False, {"success": True} if steps == 3 else {})
    )
    first, second, third = (GymVectorEnv(env_id, num_envs=2) for _ in range(3))
    for env in (first, second, third):
        env.reset(seed=0)
    played(first, 4)
    state = first.get_state()
    second.set_state(state)
    third.set_state({key: value for key, value in state.items() if key != "says_success"})
    assert (second.says_success, third.says_success) == (True, False)
    assert "solved" in played(second, 1)[0][-1] and "solved" not in played(third, 1)[0][-1]


def test_actions_start_at_zero_whatever_the_env_counts_from():
    taken = []
    after = lambda steps, action: taken.append(action) or (0.0, False, False, {})  # noqa: E731
    env = GymVectorEnv(register(*vector(), actions=Discrete(3, start=-1), after=after), num_envs=3)
    env.reset(seed=0)
    taken.clear()
    env.step(np.array([0, 1, 2]))
    assert env.single_action_space == Discrete(3) and taken == [-1, 0, 1]
    for wrong in ([0, 1, 3], [-1, 0, 0], [0, 0]):
        with pytest.raises(ValueError, match="actions"):
            env.step(np.array(wrong))


def test_without_autoreset_an_ended_env_stands_still():
    env = GymVectorEnv("CartPole-v1", num_envs=4, autoreset=False)
    env.reset(seed=0)
    *_, last = played(env, 200)
    obs, rewards, terminated, _, info = env.step(np.zeros(4, int))
    assert not rewards.any() and terminated.all() and "final_info" not in info
    assert_equal((last[0], last[4]["return"]), (obs, info["length"]))


def test_no_seed_of_one_split_is_in_another():
    seen = {}
    for index, split in enumerate(SPLITS):
        env = GymVectorEnv("CartPole-v1", num_envs=200, split=split)
        env.reset(seed=5)
        seen[split] = set(env.seed.tolist())
        assert {split_of(np.uint64(seed)) for seed in seen[split]} == {index} and len(seen[split]) == 200
    with pytest.raises(ConfigError, match=r"^split: found 'exam'"):
        GymVectorEnv("CartPole-v1", split="exam")


def test_a_fixed_set_is_the_same_for_every_seed_of_the_env_and_held_in_order():
    settings = {"num_envs": 6, "num_levels": 6, "order": "sequential", "split": "valid"}
    first, second, other = (GymVectorEnv("CartPole-v1", **settings, level_seed=s) for s in (0, 0, 1))
    level = first.reset(seed=1)[1]["level"]
    second.reset(seed=2), other.reset(seed=1)
    assert level.tolist() == list(range(6)) and len(set(first.seed.tolist())) == 6
    assert first.seed.tolist() == second.seed.tolist() and not set(first.seed) & set(other.seed)


def test_same_seed_same_episodes_and_without_one_the_stream_goes_on():
    first, second = (GymVectorEnv("CartPole-v1", num_envs=3) for _ in range(2))
    assert_equal(first.reset(seed=4), second.reset(seed=4))
    assert_equal(played(first, 60), played(second, 60))
    start = set(first.seed.tolist())
    first.reset()
    assert not start & set(first.seed.tolist())


def stream(env, policy):
    return RolloutStream(RolloutSpec(num_envs=env.num_envs, num_steps=7, frames=10**6), [env], policy, seed=0)


@pytest.mark.parametrize(
    ("env_id", "make_policy"),
    [
        ("CartPole-v1", MLPPolicy),
        (MINIGRID, lambda shape, actions: DRCPolicy(shape, actions, 4, 2, 2, proj_dim=8)),
    ],
)
def test_rollouts_saved_as_plain_tensors_go_on_bit_for_bit(env_id, make_policy):
    def make():
        torch.manual_seed(0)
        env = GymVectorEnv(env_id, num_envs=5, copy=False, max_steps=11)
        return stream(env, make_policy(env.single_observation_space.shape, int(env.single_action_space.n)))

    before = make()
    for _ in range(3):
        before.collect()
    file = io.BytesIO()
    torch.save(before.get_state(), file)
    file.seek(0)
    expected = [before.collect() for _ in range(4)]
    after = make()
    after.set_state(torch.load(file, weights_only=True))
    for rollout in expected:
        assert_equal(tuple(rollout), tuple(after.collect()))
    assert sum(len(rollout.episodes.lengths) for rollout in expected) > 5


def test_the_drc_sees_minigrid_as_small_floats_and_the_loss_sees_what_acted():
    env = GymVectorEnv(MINIGRID, num_envs=6, copy=False)
    policy = DRCPolicy(env.single_observation_space.shape, int(env.single_action_space.n), 4, 2, 2, proj_dim=8)
    rollouts = stream(env, policy)
    for _ in range(3):
        rollout = rollouts.collect()
        assert rollout.obs.shape == (8, 6, 3, 7, 7) and 0.5 < rollout.obs.max() <= 2
        out, _ = policy.unroll(rollout.obs, rollout.carry, rollout.transitions.resets, rollout.repeats)
        torch.testing.assert_close(out.policy_logits[:-1], rollout.transitions.behaviour_logits, atol=1e-6, rtol=1e-5)
        out.value.sum().backward()


def test_an_env_that_does_not_repeat_itself_cannot_be_resumed():
    calls = iter(range(10**6))
    space, _ = vector()
    env = GymVectorEnv(register(space, lambda rng, steps: np.full(3, next(calls), np.float32)))
    env.reset(seed=0)
    with pytest.raises(UserError, match=r"^env\.id: HandMade.* does not do the same"):
        env.set_state(env.get_state())


@pytest.mark.parametrize("env_id", ["CartPole-v1", MINIGRID])
def test_evaluation_equals_playing_each_level_alone(env_id):
    settings = {"num_levels": 9, "order": "sequential", "split": "test", "max_steps": 30}
    env = GymVectorEnv(env_id, num_envs=9, autoreset=False, **settings)
    policy = MLPPolicy(env.single_observation_space.shape, int(env.single_action_space.n), head_init="orthogonal")
    episodes, resetting = evaluate(policy, env, chunk=4), GymVectorEnv(env_id, num_envs=9, **settings)
    assert_equal(vars(episodes), vars(evaluate(policy, resetting)))
    single = GymVectorEnv(env_id, **settings)
    obs, _ = single.reset(seed=0)
    for level in range(9):
        done = np.zeros(1, bool)
        while not done[0]:
            with torch.no_grad():
                action = policy(torch.from_numpy(obs))[0].policy_logits.argmax(-1).numpy()
            obs, _, terminated, truncated, info = single.step(action)
            done = terminated | truncated
        final = info["final_info"]
        expected = (episodes.level[level], episodes.length[level], episodes.returns[level])
        assert (final["level"][0], final["length"][0], final["return"][0]) == expected


@pytest.mark.parametrize(
    "env_id", ["Acrobot-v1", "MountainCar-v0", "BabyAI-GoToObj-v0", "minigrid:MiniGrid-Empty-6x6-v0"]
)
def test_other_envs_are_made_and_stepped(env_id):
    env = GymVectorEnv(env_id, num_envs=2)
    obs, _ = env.reset(seed=0)
    assert env.observation_space.contains(obs) and env.observation_space.contains(env.step(np.ones(2, int))[0])


def test_warnings_of_the_env_reach_the_user_and_text_is_rendered():
    def after(steps, action):
        warnings.warn("the paint is wet", UserWarning, stacklevel=1)
        return 0.0, False, False, {}

    env_id = register(*vector(), after=after)
    with pytest.warns(UserWarning, match="the paint is wet"):
        GymVectorEnv(env_id)
    env = GymVectorEnv(register(*vector()), num_envs=2, render_mode="ansi")
    env.reset(seed=0)
    env.step(np.ones(2, int))
    assert env.render() == ("step 1", "step 1") and GymVectorEnv("CartPole-v1").render() is None


gym.register("Elsewhere-v0", entry_point="a_package_that_is_not_here:Env")


@pytest.mark.parametrize(
    ("node", "line"),
    [
        ({"id": "CartPol-v1"}, "env.id: found 'CartPol-v1', allowed: drc_lab/RicochetRobots-v0"),
        ({"id": "CartPol-v1"}, "closest: CartPole-v1"),
        ({"id": "MiniGrid-Emty-5x5-v0"}, "closest: MiniGrid-Empty-5x5-v0"),
        ({"id": "drc_lab/Ricochet-v0"}, "env.id: found 'drc_lab/Ricochet-v0', allowed: drc_lab/RicochetRobots-v0"),
        ({"id": "no_such_package:Foo-v0"}, "an id whose package is installed (ModuleNotFoundError: No module named"),
        (
            {"id": "Elsewhere-v0"},
            "an env that can be made here (ModuleNotFoundError: No module named 'a_package_that_is",
        ),
        ({"id": "CartPole-v1", "height": 5, "split": "train"}, "for this one: env=gym env.id=CartPole-v1"),
        (
            {"id": "CartPole-v1", "kwargs": {}, "layuot": "hwc"},
            "env.layuot: found 'hwc', allowed: no such key, but layo",
        ),
        (
            {"id": "CartPole-v1", "kwargs": {"mass": 3}},
            "env.kwargs: found {'mass': 3}, allowed: what CartPole-v1 takes",
        ),
        ({"id": "CartPole-v1", "max_steps": 0}, "env.max_steps: found 0, allowed: at least 1"),
        ({"id": "CartPole-v1", "num_levels": 0}, "env.num_levels: found 0, allowed: at least 1"),
        ({"id": "CartPole-v1", "max_steps": "long"}, "env.max_steps: found 'long', allowed: int, at least 1, or null"),
        ({"id": "Pendulum-v1"}, "env.id: found 'Pendulum-v1', allowed: an env with Discrete actions"),
    ],
)
def test_a_wrong_id_or_key_is_told_in_one_line(node, line):
    with pytest.raises(ConfigError) as error:
        make_env(OmegaConf.create(node), num_envs=1)
    assert line in str(error.value) and "\n" not in str(error.value) and str(error.value).startswith("env.")


def test_a_drc_for_vectors_is_refused_with_the_policy_that_fits():
    drc = OmegaConf.create({"_target_": "drc_lab.models.drc.DRCPolicy"})
    with pytest.raises(ConfigError, match=r"^policy.obs_shape: found \[4\], allowed: .*policy=mlp"):
        build_policy(drc, make_env(OmegaConf.create({"id": "CartPole-v1"}), num_envs=1))

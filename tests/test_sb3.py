"""Our encoders and envs in Stable-Baselines3."""

import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

import drc_lab  # noqa: F401  (registers the envs)
from drc_lab.errors import ConfigError
from drc_lab.models.cnn import SmallCNNPolicy
from drc_lab.models.convlstm import ConvLSTMPolicy
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.mlp import MLPPolicy
from drc_lab.models.transformer import LoopedTransformerPolicy
from drc_lab.sb3 import BatchVecEnv, PolicyFeatures

SMALL = {"hidden_channels": 8, "num_layers": 1, "repeats_per_step": 2, "proj_dim": 32}
ENCODERS = {SmallCNNPolicy: {}, DRCPolicy: SMALL, ConvLSTMPolicy: SMALL, LoopedTransformerPolicy: SMALL}
every_encoder = pytest.mark.parametrize("policy", ENCODERS, ids=lambda policy: policy.__name__)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)  # tensors this small only wait for a second one


def milestone(num_envs=8, **kwargs):
    return BatchVecEnv(gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=num_envs, layout="v0", **kwargs))


def ppo(env, policy, **more):
    policy_kwargs = {
        "features_extractor_class": PolicyFeatures,
        "features_extractor_kwargs": {"policy": policy, **ENCODERS[policy]},
        "normalize_images": False,
        "ortho_init": False,
        "net_arch": [],
    }
    sizes = {"n_steps": 16, "batch_size": 64, "n_epochs": 4, "learning_rate": 3e-3, "ent_coef": 0.01}
    return PPO("CnnPolicy", env, policy_kwargs=policy_kwargs, seed=0, device="cpu", **(sizes | more))


@pytest.mark.slow
@every_encoder
def test_ppo_learns_the_first_milestone(policy):
    model = ppo(milestone(), policy).learn(2048)
    returns, _ = evaluate_policy(model, milestone(), n_eval_episodes=20, return_episode_rewards=True)
    assert np.mean(np.array(returns) > 0) >= 0.9  # the goal is worth 1, and a step costs 0.01


@every_encoder
def test_features_are_what_the_policys_outputs_read(policy):
    """With the outputs that were taken off, the features give the policy's own logits and value."""
    env = milestone()
    features = PolicyFeatures(env.observation_space, policy, repeats=3, **ENCODERS[policy])
    whole = policy(env.observation_space.shape, 1, **ENCODERS[policy])
    missing, unexpected = whole.load_state_dict(features.policy.state_dict(), strict=False)
    assert set(missing) == {f"head.{name}.{part}" for name in ("policy", "value") for part in ("weight", "bias")}
    obs = torch.from_numpy(env.reset())
    expected, _ = whole(obs, repeats=3)
    assert not unexpected and features(obs).shape == (8, features.features_dim)
    torch.testing.assert_close(whole.head.policy(features(obs)), expected.policy_logits)
    torch.testing.assert_close(whole.head.value(features(obs)), expected.value)


def test_nothing_is_remembered_from_one_observation_to_the_next():
    features = PolicyFeatures(milestone().observation_space, DRCPolicy, **SMALL)
    obs = torch.rand(2, *features._observation_space.shape)
    first = features(obs)
    features(torch.rand_like(obs))
    torch.testing.assert_close(features(obs), first, rtol=0, atol=0)


def test_bytes_are_divided_by_255_and_floats_are_not():
    pixels = gym.spaces.Box(0, 255, (3, 8, 8), np.uint8)
    as_bytes = PolicyFeatures(pixels)
    as_floats = PolicyFeatures(gym.spaces.Box(0, 1, (3, 8, 8), np.float32))
    as_floats.load_state_dict(as_bytes.state_dict())
    obs = torch.randint(0, 256, (2, 3, 8, 8)).float()  # what SB3 makes of bytes
    torch.testing.assert_close(as_bytes(obs), as_floats(obs / 255))


def test_a_model_comes_back_from_its_file(tmp_path):
    model = ppo(milestone(), ConvLSTMPolicy)
    model.save(tmp_path / "model.zip")
    loaded = PPO.load(tmp_path / "model.zip", device="cpu")
    obs = torch.from_numpy(milestone().reset())
    expected, got = (m.policy.get_distribution(obs).distribution.logits for m in (model, loaded))
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"policy": MLPPolicy}, "features_extractor_kwargs.policy: found 'MLPPolicy', allowed: a policy with a head"),
        ({"proj_dim": 0}, "features_extractor_kwargs.proj_dim: found 0, allowed: at least 1"),
        ({"proj_dimm": 8}, "features_extractor_kwargs.proj_dimm: found 8, allowed: no such key, but proj_dim"),
    ],
)
def test_impossible_settings_are_one_line(arguments, line):
    with pytest.raises(ConfigError) as error:
        PolicyFeatures(gym.spaces.Box(0, 1, (3, 4, 4), np.float32), **arguments)
    assert str(error.value).startswith(line) and "\n" not in str(error.value)


def test_the_vector_env_gives_the_batch_envs_steps_and_what_a_monitor_adds():
    env, batch = (
        milestone(4, max_steps=3),
        gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=4, layout="v0", max_steps=3),
    )
    env.seed(5)
    expected, _ = batch.reset(seed=5)
    np.testing.assert_array_equal(env.reset() * 255, expected)
    assert env.observation_space.contains(env.reset()[0]) and env.env_is_wrapped(Monitor) == [True] * 4
    rng, ended = np.random.default_rng(0), {"solved": 0, "truncated": 0}
    batch.reset(seed=5)
    env.seed(5)
    env.reset()
    for _ in range(30):
        actions = rng.integers(0, env.action_space.n, 4)
        obs, reward, terminated, truncated, info = batch.step(actions)
        got, rewards, dones, infos = env.step(actions)
        np.testing.assert_array_equal(got * 255, obs)
        np.testing.assert_allclose(rewards, reward, rtol=1e-6)
        assert (dones == (terminated | truncated)).all()
        for i in range(4):
            if not dones[i]:
                assert infos[i] == {}
                continue
            final = info["final_info"]
            np.testing.assert_array_equal(infos[i]["terminal_observation"] * 255, info["final_obs"][i])
            assert infos[i]["episode"] == {"r": final["return"][i], "l": final["length"][i]}
            assert infos[i]["TimeLimit.truncated"] == truncated[i] and infos[i]["is_success"] == terminated[i]
            ended["solved"] += terminated[i]
            ended["truncated"] += truncated[i]
    assert min(ended.values()) > 0


def test_methods_and_attributes_of_the_batch_env_are_reached():
    env = milestone(3, render_mode="rgb_array")
    env.reset()
    masks = env.env_method("action_masks", indices=[0, 2])
    np.testing.assert_array_equal(masks, env.env.action_masks()[[0, 2]])
    assert env.get_attr("max_steps", indices=0) == [(20, 20)] and len(env.get_images()) == 3
    with pytest.raises(AttributeError):
        env.get_attr("wheels")
    with pytest.raises(ConfigError, match=r"^indices: found 1"):
        env.set_attr("cell_size", 8, indices=1)
    env.set_attr("cell_size", 8)
    assert env.env.cell_size == 8
    env.close()


def test_an_env_that_resets_a_step_later_is_refused():
    with pytest.raises(ConfigError, match=r"^env: found .*NEXT_STEP.*, allowed: a batch env with same-step autoreset$"):
        BatchVecEnv(gym.make_vec("CartPole-v1", num_envs=2))


@pytest.mark.slow
def test_the_example_of_the_docs_runs_as_it_stands(tmp_path):
    text = (Path(__file__).parents[1] / "docs/policies.md").read_text()
    (example,) = (code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "stable_baselines3" in code)
    shown = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert shown.returncode == 0, shown.stderr
    assert float(re.search(r"mean return ([\d.]+)", shown.stdout).group(1)) > 0.9


def test_without_stable_baselines_the_message_is_one_line():
    script = "import sys; sys.modules['stable_baselines3'] = None; import drc_lab.sb3"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 1
    assert shown.stderr.splitlines()[-1] == (
        "drc_lab.errors.UserError: drc_lab.sb3: Stable-Baselines3 is missing: pip install 'drc-lab[sb3]'"
    )

"""The MLP takes any observation, carries nothing, and learns CartPole."""

import numpy as np
import pytest
import torch
from commands import run

from drc_lab.app.held_out import held_out_env
from drc_lab.app.settings import Settings
from drc_lab.errors import ConfigError
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.learning.checkpoints import load_policy
from drc_lab.models.mlp import MLPPolicy


@pytest.mark.parametrize("shape", [(4,), (2, 5, 6)])
def test_a_sequence_equals_its_single_steps_and_the_ticks_do_not_matter(shape):
    policy, obs = MLPPolicy(shape, 3, head_init="lecun"), torch.randn(7, 5, *shape)
    resets = torch.rand(7, 5) < 0.3
    out, state = policy.unroll(obs, policy.init_state(5), resets, repeats=[1, 2, 3, 4, 5, 6, 7])
    assert state == () and out.policy_logits.shape == (7, 5, 3) and out.value.shape == (7, 5, 1)
    for t in range(7):
        one, state = policy(obs[t], state)
        torch.testing.assert_close((one.policy_logits, one.value), (out.policy_logits[t], out.value[t]))
    with pytest.raises(ConfigError, match=r"^repeats"):
        policy(obs[0], repeats=0)


def test_bytes_are_divided_by_255():
    policy = MLPPolicy((2, 3, 3), 4)
    image = torch.randint(0, 256, (5, 2, 3, 3), dtype=torch.uint8)
    torch.testing.assert_close(policy(image)[0], policy(image / 255)[0])


def test_it_is_the_network_that_its_sizes_say():
    policy = MLPPolicy((4,), 3, hidden_sizes=[8, 5], activation="relu")
    count = sum(p.numel() for p in policy.parameters())
    assert count == 2 * (4 * 8 + 8 + 8 * 5 + 5) + (5 * 3 + 3) + (5 + 1)
    first = policy.policy[0].weight
    torch.testing.assert_close(first.t() @ first, torch.eye(4))  # orthogonal
    assert policy(torch.randn(9, 4))[0].policy_logits.abs().max() < 0.1  # so that it starts out undecided
    linear, x = MLPPolicy((4,), 3, hidden_sizes=[]), torch.randn(2, 4)
    torch.testing.assert_close(linear(x)[0].value, x @ linear.value[0].weight.t())


@pytest.mark.parametrize(
    ("key", "found"),
    [("hidden_sizes", [8, 0]), ("activation", "sine"), ("num_actions", 0), ("hidden_init", "zeros"), ("head_init", "")],
)
def test_impossible_settings_name_the_key(key, found):
    with pytest.raises(ConfigError) as error:
        MLPPolicy(**({"obs_shape": (4,), "num_actions": 2} | {key: found}))
    assert error.value.key == key


def test_an_observation_of_another_shape_is_refused():
    with pytest.raises(ConfigError, match=r"^obs: found \(5,\), allowed: \(4,\)"):
        MLPPolicy((4,), 2)(torch.zeros(1, 5))


CARTPOLE = [
    "env=gym", "env.id=CartPole-v1", "policy=mlp", "algo.rollouts.num_envs=16", "algo.rollouts.num_steps=8",
    "algo.rollouts.frames=200_000", "algo.loss.gamma=0.99", "algo.loss.lam=1.0", "algo.loss.ent_coef=0",
    "evaluation.num_levels=50",
    "threads=1",  # a network this small only waits for a second one
]  # fmt: skip


@pytest.mark.slow
def test_it_learns_to_balance_the_pole(tmp_path):
    """Greedy, on starts it never saw; a random policy balances for about 22 steps of at most 500."""
    result = run(tmp_path, *CARTPOLE)
    assert result.returncode == 0, result.stderr
    (checkpoint,) = tmp_path.glob("outputs/runs/*/*/checkpoints/last.ckpt")
    policy, config = load_policy(checkpoint)
    episodes = evaluate(policy, held_out_env(Settings(config), "test"))
    assert len(np.unique(episodes.level)) == 50 and episodes.returns.mean() >= 195

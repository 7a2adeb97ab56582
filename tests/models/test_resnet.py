"""The residual baseline: no memory, any board with the right head, and the published sizes."""

import inspect

import hydra
import pytest
import torch

from drc_lab.arguments import plain
from drc_lab.errors import ConfigError
from drc_lab.models.resnet import ResNetPolicy
from drc_lab.paths import CONF


def small(obs_shape=(3, 5, 6), num_actions=4, **switches):
    sizes = {"channels": (4, 6), "kernel_sizes": (4, 3), "proj_dim": 8}
    return ResNetPolicy(obs_shape, num_actions, **(sizes | switches))


def test_the_defaults_have_as_many_parameters_as_the_published_one():
    assert sum(weight.numel() for weight in ResNetPolicy((3, 10, 10), 4).parameters()) == 3_068_421


def test_the_config_has_every_argument_with_its_default():
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = plain(hydra.compose("config", overrides=["policy=resnet"]).policy)
    arguments = inspect.signature(ResNetPolicy).parameters
    defaults = {name: p.default for name, p in arguments.items() if p.default is not p.empty}
    assert config.pop("_target_").endswith("ResNetPolicy")
    assert config == {name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()}


def test_a_sequence_equals_its_single_steps_and_neither_ticks_nor_resets_matter():
    policy, obs = small(), torch.randint(0, 256, (7, 3, 3, 5, 6), dtype=torch.uint8)
    out, state = policy.unroll(obs, policy.init_state(3), torch.rand(7, 3) < 0.5, repeats=[1, 2, 3, 4, 5, 6, 7])
    assert state == () and out.policy_logits.shape == (7, 3, 4) and out.value.shape == (7, 3, 1)
    for t in range(7):
        one, state = policy(obs[t], state)
        torch.testing.assert_close((one.policy_logits, one.value), (out.policy_logits[t], out.value[t]))
    with pytest.raises(ConfigError, match=r"^repeats"):
        policy(obs[0], repeats=0)


def test_bytes_are_divided_by_255():
    policy, image = small(), torch.randint(0, 256, (4, 3, 5, 6), dtype=torch.uint8)
    torch.testing.assert_close(policy(image)[0], policy(image / 255)[0])


def test_every_parameter_gets_a_gradient():
    policy = small()
    out, _ = policy(torch.rand(8, 3, 5, 6))
    (out.policy_logits.square().sum() + out.value.square().sum()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in policy.parameters())


def test_only_the_flatten_head_is_for_one_size():
    larger = torch.rand(2, 3, 9, 7)
    assert small(head="pool")(larger)[0].policy_logits.shape == (2, 4)
    with pytest.raises(ConfigError, match=r"^board size: found \(9, 7\), allowed: \(5, 6\)"):
        small()(larger)


@pytest.mark.parametrize(
    ("key", "found"),
    [("channels", ()), ("channels", (4, 0)), ("kernel_sizes", (3,)), ("kernel_sizes", (3, 0)), ("num_actions", 0),
     ("proj_dim", 0), ("head", "cube"), ("conv_init", "zeros"), ("obs_shape", (4,))],
)  # fmt: skip
def test_impossible_settings_name_the_key(key, found):
    with pytest.raises(ConfigError) as error:
        small(**{key: found})
    assert error.value.key == key

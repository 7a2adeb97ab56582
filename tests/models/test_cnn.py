"""The small CNN."""

import pytest
import torch

from drc_lab.errors import ConfigError
from drc_lab.models.cnn import SmallCNNPolicy


def test_it_is_the_network_that_its_arguments_say():
    policy = SmallCNNPolicy((2, 6, 7), 3, channels=[4, 5], proj_dim=8)
    obs, weights = torch.rand(2, 2, 6, 7), dict(policy.named_parameters())
    x = obs
    for layer in (0, 2):
        x = torch.conv2d(x, weights[f"convs.{layer}.weight"], weights[f"convs.{layer}.bias"], padding=1).relu()
    x = torch.relu(x.mean((2, 3)) @ weights["head.proj.weight"].t() + weights["head.proj.bias"])
    out, state = policy(obs)
    assert state == ()
    torch.testing.assert_close(out.policy_logits, x @ weights["head.policy.weight"].t() + weights["head.policy.bias"])
    torch.testing.assert_close(out.value, x @ weights["head.value.weight"].t() + weights["head.value.bias"])


def test_a_flatten_head_fits_what_strides_leave():
    policy = SmallCNNPolicy((3, 15, 8), 4, stride=2, head="flatten")
    assert policy(torch.rand(2, 3, 15, 8))[0].policy_logits.shape == (2, 4)


def test_strides_shrink_what_is_pooled():
    x = torch.rand(1, 3, 64, 48)
    assert [SmallCNNPolicy((3, 64, 48), 4, stride=s).encode(x).shape[2:] for s in (1, 2)] == [(64, 48), (8, 6)]


@pytest.mark.parametrize(
    ("key", "found"),
    [("channels", []), ("channels", [8, 0]), ("stride", 0), ("proj_dim", 0), ("num_actions", 0), ("obs_shape", (3,)),
     ("head", ""), ("conv_init", ""), ("proj_init", ""), ("head_init", "")],
)  # fmt: skip
def test_impossible_settings_name_the_key(key, found):
    with pytest.raises(ConfigError) as error:
        SmallCNNPolicy(**({"obs_shape": (3, 5, 5), "num_actions": 2} | {key: found}))
    assert error.value.key == key

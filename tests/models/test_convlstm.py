"""The plain ConvLSTM against its equations, written out."""

import pytest
import torch

from drc_lab.errors import ConfigError
from drc_lab.models.convlstm import ConvLSTMPolicy


def written_out(policy, obs, h, c, ticks):
    """One step: every gate of every layer by its own two convolutions, one on the input and one on own h."""
    C, h, c = policy.hidden_channels, list(h), list(c)
    encoding = torch.relu(policy.encoder(obs))
    for _ in range(ticks):
        below = encoding
        for layer, gates in enumerate(policy.gates):
            if layer == 0:
                on_input, on_own, bias = policy.drive.weight, gates.weight, policy.drive.bias
            else:
                on_input, on_own, bias = gates.weight[:, :C], gates.weight[:, C:], gates.bias
            i, f, g, o = (
                torch.conv2d(below, on_input[n : n + C], bias[n : n + C], padding=1)
                + torch.conv2d(h[layer], on_own[n : n + C], padding=1)
                for n in range(0, 4 * C, C)
            )
            c[layer] = f.sigmoid() * c[layer] + i.sigmoid() * g.tanh()
            below = h[layer] = o.sigmoid() * c[layer].tanh()
    hidden = torch.relu(policy.head.proj(below.mean((2, 3))))
    return policy.head.policy(hidden), policy.head.value(hidden), (h, c)


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_a_step_equals_the_equations_in_values_and_gradients(num_layers):
    policy = ConvLSTMPolicy((3, 4, 6), 5, hidden_channels=4, num_layers=num_layers, proj_dim=8).double()
    obs = torch.rand(2, 3, 4, 6, dtype=torch.float64)
    h, c = ([torch.randn_like(x) for x in maps] for maps in policy.init_state(2, dtype=torch.float64))
    out, state = policy(obs, (h, c), repeats=3)
    logits, value, expected = written_out(policy, obs, h, c, 3)
    torch.testing.assert_close((*out, state), (logits, value, expected))
    got, wanted = (torch.autograd.grad(x.square().sum(), list(policy.parameters())[:-4]) for x in (out[0], logits))
    torch.testing.assert_close(got, wanted)


def test_forget_gates_alone_start_with_a_bias():
    policy = ConvLSTMPolicy((3, 4, 4), 2, hidden_channels=4, forget_bias=2.0)
    biases = [conv.bias for conv in (policy.drive, *policy.gates) if conv.bias is not None]
    assert len(biases) == 3 and all(b.view(4, 4).tolist() == [[0] * 4, [2] * 4, [0] * 4, [0] * 4] for b in biases)


@pytest.mark.parametrize("key", ["hidden_channels", "num_layers", "repeats_per_step", "proj_dim", "num_actions"])
def test_impossible_settings_name_the_key(key):
    with pytest.raises(ConfigError) as error:
        ConvLSTMPolicy(**({"obs_shape": (3, 5, 5), "num_actions": 2} | {key: 0}))
    assert error.value.key == key

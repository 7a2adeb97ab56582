"""The looped transformer stays stable, and knows where a cell is only by the board's edge."""

import pytest
import torch

from drc_lab.errors import ConfigError
from drc_lab.models.transformer import Block, LoopedTransformerPolicy


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)  # tensors this small only wait for a second one


def small(**kwargs):
    return LoopedTransformerPolicy(**({"obs_shape": (3, 5, 6), "num_actions": 4, "hidden_channels": 16} | kwargs))


@torch.no_grad()
def test_the_carry_stays_bounded_over_hundreds_of_steps():
    """Even with weights far from where they start, every cell's state keeps the norm sqrt(D)."""
    policy = small()
    for parameter in (*policy.blocks.parameters(), *policy.mix.parameters(), *policy.encoder.parameters()):
        parameter.mul_(5)
    out, state = policy.unroll(torch.rand(200, 2, 3, 5, 6), policy.init_state(2), torch.zeros(200, 2, dtype=torch.bool))
    torch.testing.assert_close(state.norm(dim=2), torch.full((2, 30), 4.0), rtol=1e-2, atol=0)
    assert out.policy_logits.isfinite().all() and out.policy_logits.abs().max() < 10


def test_gradients_stay_finite_over_a_long_sequence():
    policy = small()
    out, _ = policy.unroll(torch.rand(60, 1, 3, 5, 6), policy.init_state(1), torch.zeros(60, 1, dtype=torch.bool))
    (out.policy_logits[-1].sum() + out.value[-1].sum()).backward()
    assert torch.nn.utils.get_total_norm([p.grad for p in policy.parameters()]) < 100


@torch.no_grad()
def test_attention_alone_sees_a_set_of_cells_and_the_convolution_their_places():
    block, x = Block(16, 4, 2), torch.randn(2, 30, 16)
    order = torch.randperm(30)
    assert (block(x, 5, 6)[:, order] - block(x[:, order], 5, 6)).abs().max() > 1e-2
    block.position.weight.zero_()
    torch.testing.assert_close(block(x, 5, 6)[:, order], block(x[:, order], 5, 6))


@torch.no_grad()
def test_every_cell_reaches_every_other_in_one_tick():
    policy = small(num_layers=1)
    obs, changed = torch.zeros(1, 3, 5, 6), torch.zeros(1, 3, 5, 6)
    changed[0, :, 0, 0] = 1
    (_, a), (_, b) = policy(obs, repeats=1), policy(changed, repeats=1)
    assert (a - b)[0, -1].abs().max() > 0  # the opposite corner, 5 cells away, beyond the convolutions' reach


def test_heads_have_to_divide_the_channels():
    with pytest.raises(ConfigError, match=r"^num_heads: found 3, allowed: a divisor of hidden_channels = 16$"):
        small(num_heads=3)


@pytest.mark.parametrize(
    "key", ["hidden_channels", "num_layers", "repeats_per_step", "num_heads", "mlp_ratio", "proj_dim"]
)
def test_impossible_settings_name_the_key(key):
    with pytest.raises(ConfigError) as error:
        small(**{key: 0})
    assert error.value.key == key

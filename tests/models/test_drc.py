"""The DRC policy against the DRC on one page, drc_lab.models.drc_plain."""

import pytest
import torch
from small_drc import sequence, small
from torch.utils._pytree import tree_leaves, tree_map

from drc_lab.errors import ConfigError
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.drc_cell import ConvLSTMCell
from drc_lab.models.drc_plain import plain_step, plain_unroll
from drc_lab.models.pooling import PoolAndInject
from drc_lab.models.spatial import boundary_channel, tap_kinds

VARIANTS = [
    {},
    {"num_layers": 1, "repeats_per_step": 1},
    {"pool_and_inject": False},
    {"use_boundary_channel": False},
    {"kernel_size": 5},
    {"encoding_to_head": "add"},
    {"obs_shape": (2, 1, 2), "num_layers": 2},
    {"obs_shape": (2, 3, 3), "pool_and_inject": False, "use_boundary_channel": False},
    {"encoding_to_head": "concat", "encoder_layers": 1, "head": "pool"},
    {"encoder_kernel_size": 4, "encoder_layers": 3, "encoder_relu": True, "head": "cells"},
    {"top_to_bottom": True, "output_gate": "sigmoid"},
    {"top_to_bottom": True, "num_layers": 1},
    {"boundary_ring": "outside", "unused_gate": True, "pool_projection": "per_channel_bias"},
    {"top_to_bottom": True, "pool_source": "below", "pool_projection": "full"},
    {"top_to_bottom": True, "residual": "layers", "pool_projection": "overall"},
    {"top_to_bottom": True, "residual": "layers_and_carry", "pool_source": "below", "pool_projection": "max"},
]


def test_parameters_are_those_of_the_guide_at_its_defaults():
    assert sum(p.numel() for p in DRCPolicy((3, 10, 10), 4).parameters()) == 1_246_469


@pytest.mark.parametrize("kwargs", VARIANTS, ids=str)
def test_unroll_equals_the_naive_guide_in_values_and_gradients(kwargs):
    policy = small(**kwargs)
    assert policy.stack.wiring.runs_fused == (not {"residual", "pool_source"} & set(kwargs))
    obs, state, resets = sequence(policy)
    repeats = [3, 1, 2, 5, 3, 1]
    answers = []
    for fast in (True, False):
        policy.zero_grad()
        leaves = tree_map(lambda x: x.clone().requires_grad_(), state)
        if fast:
            (logits, values), final = policy.unroll(obs, leaves, resets, repeats)
        else:
            logits, values, final = plain_unroll(policy, obs, leaves, resets, repeats)
        outputs = [logits, values, *tree_leaves(final)]
        torch.manual_seed(2)
        sum((x * torch.randn(x.shape)).sum() for x in outputs).backward()
        gradients = [p.grad.clone() for p in policy.parameters()] + [x.grad for x in tree_leaves(leaves)]
        answers.append([x.detach() for x in outputs] + gradients)
    for got, expected in zip(*answers, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5 * max(1, expected.abs().max().item()))


def test_gradients_are_exact_in_float64():
    policy = small(obs_shape=(2, 3, 2), hidden_channels=2, num_layers=2, repeats_per_step=2, proj_dim=3).double()
    obs, (h, c), resets = sequence(policy, T=3, B=2, dtype=torch.float64)

    def run(weight, obs, *carry):
        cell = policy.stack.cells[1].gates
        del cell.weight
        cell.weight = weight
        out, state = policy.unroll(obs, (list(carry[:2]), list(carry[2:])), resets)
        return out.policy_logits, *tree_leaves(state)

    weight = policy.stack.cells[1].gates.weight.detach()
    del policy.stack.cells[1].gates.weight
    policy.stack.cells[1].gates.weight = weight
    inputs = [x.detach().requires_grad_() for x in (weight, obs, *h, *c)]
    torch.autograd.gradcheck(run, inputs)


def test_unroll_equals_single_steps():
    policy = small()
    obs, state, _ = sequence(policy)
    out, final = policy.unroll(obs, state, torch.zeros(obs.shape[:2], dtype=torch.bool))
    for t in range(len(obs)):
        step, state = policy(obs[t], state)
        torch.testing.assert_close(step.policy_logits, out.policy_logits[t], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(step.value, out.value[t], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(tree_leaves(state), tree_leaves(final), rtol=1e-5, atol=1e-6)


def test_a_reset_makes_the_past_irrelevant_and_only_from_that_step_on():
    policy = small()
    obs, state, _ = sequence(policy, T=5, B=3)
    resets = torch.zeros(5, 3, dtype=torch.bool)
    resets[2, 1] = True
    out, _ = policy.unroll(obs, state, resets)
    free, _ = policy.unroll(obs, state, torch.zeros_like(resets))
    fresh, _ = policy.unroll(obs[2:], policy.init_state(3), torch.zeros(3, 3, dtype=torch.bool))
    torch.testing.assert_close(out.policy_logits[2:, 1], fresh.policy_logits[:, 1])
    torch.testing.assert_close(out.policy_logits[:2], free.policy_logits[:2])
    torch.testing.assert_close(out.policy_logits[2:, [0, 2]], free.policy_logits[2:, [0, 2]])
    assert (out.policy_logits[2:, 1] - free.policy_logits[2:, 1]).abs().max() > 1e-4


def test_no_gradient_flows_across_a_reset():
    policy = small()
    obs, state, resets = sequence(policy, T=2, B=2)
    resets[:] = False
    resets[1, 0] = True
    obs.requires_grad_()
    out, _ = policy.unroll(obs, state, resets)
    out.value[1].sum().backward()
    assert obs.grad[0, 0].abs().max() == 0
    assert obs.grad[0, 1].abs().max() > 0


def test_the_layer_above_reads_the_new_hidden_state_of_the_same_tick():
    """Tick order: with one tick, layer 2 sees layer 1's fresh h; layer 1 never sees layer 2 within the tick."""
    policy = small(num_layers=2, repeats_per_step=1)
    obs, (h, c), _ = sequence(policy, T=1)
    e = policy.encoder(obs[0])
    h0, _ = policy.stack.cells[0](e, None, h[0], c[0])
    h1, _ = policy.stack.cells[1](e, h0, h[1], c[1])
    _, (after, _) = policy(obs[0], (h, c))
    torch.testing.assert_close(after[0], h0)
    torch.testing.assert_close(after[1], h1)
    _, (other, _) = policy(obs[0], ([h[0], h[1] + 1], c))
    torch.testing.assert_close(other[0], after[0])


def test_cell_by_hand_on_one_square():
    """1 x 1 board, C = 1: every number of the LSTM equations by hand, output gate tanh, order i, f, g, o."""
    cell = ConvLSTMCell(1, has_below=True)
    with torch.no_grad():
        cell.pool.weight[:] = torch.tensor([[2.0, 3.0]])  # 2 * mean + 3 * max + 0.5
        cell.pool.bias[:] = 0.5
        cell.gates.weight.zero_()
        # inputs in order: e, pooled, below, boundary, own; only the centre tap is on a 1 x 1 board
        rows = torch.tensor([[1.0, 0, 0, 0, 0], [0, 1.0, 0, 0, 0], [0, 0, 1.0, 0, 0], [0, 0, 0, 1.0, 1.0]])
        cell.gates.weight[:, :, 1, 1] = rows
    e, below, h, c = (torch.full((1, 1, 1, 1), x) for x in (0.3, -0.7, 0.2, 0.9))
    new_h, new_c = cell(e, below, h, c)
    i, f = torch.sigmoid(torch.tensor(0.3)), torch.sigmoid(torch.tensor(2 * 0.2 + 3 * 0.2 + 0.5 + 1.0))
    g, o = torch.tanh(torch.tensor(-0.7)), torch.tanh(torch.tensor(1.0 + 0.2))
    expected = f * 0.9 + i * g
    torch.testing.assert_close(new_c.view(()), expected)
    torch.testing.assert_close(new_h.view(()), o * torch.tanh(expected))


def test_pool_and_inject_by_hand():
    h = torch.tensor([[1.0, 2.0], [3.0, 6.0]]).view(1, 1, 2, 2)  # mean 3, max 6
    weights = {
        "linear": [[10.0, 1.0]],
        "full": [[10.0, 1.0]],
        "per_channel": [[10.0], [1.0]],
        "per_channel_bias": [[10.0], [1.0]],
        "overall": [[10.0], [1.0]],
    }
    for projection, weight in weights.items():
        pool = PoolAndInject(1, projection)
        pool.weight.data[:] = torch.tensor(weight)
        bias = 0.0
        if pool.bias is not None:
            pool.bias.data[:] = bias = 7.0
        torch.testing.assert_close(pool(h), torch.full((1, 1, 2, 2), 10 * 3.0 + 6.0 + bias))
    assert PoolAndInject(1, "mean")(h).unique().tolist() == [3] and PoolAndInject(1, "max")(h).unique().tolist() == [6]


def test_boundary_channel_by_hand():
    plane = boundary_channel(3, 4, torch.device("cpu"), torch.float32)
    assert plane.tolist() == [[[[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]]]]
    assert boundary_channel(2, 5, torch.device("cpu"), torch.float32).all()


def test_kinds_of_cell_by_hand():
    """3 x 3 kernel: on 3 x 4 cells 9 kinds, the corner of which sees 4 taps, an edge 6, the inside 9."""
    inside, kind = tap_kinds(3, 4, 3, torch.device("cpu"))
    taps = inside.sum(1)[kind].view(3, 4)
    assert len(inside) == 9 and taps.tolist() == [[4, 6, 6, 4], [6, 9, 9, 6], [4, 6, 6, 4]]
    assert kind.view(3, 4)[:, 1].tolist() == kind.view(3, 4)[:, 2].tolist()


def test_biases_start_at_zero_but_for_the_forget_gate():
    policy = small()
    C = policy.stack.channels
    for cell in policy.stack.cells:
        expected = torch.zeros(4 * C)
        expected[C : 2 * C] = 1
        torch.testing.assert_close(cell.gates.bias.detach(), expected)
    others = [b for name, b in policy.named_parameters() if name.endswith("bias") and ".gates." not in name]
    assert others and all(b.abs().max() == 0 for b in others)


def test_convolutions_start_with_the_variance_of_their_fan_in():
    """The guide's is that of the one fused convolution; the published code has one convolution for own h alone."""
    guide, published = (DRCPolicy((3, 10, 10), 4, conv_init=how).stack.cells[1] for how in ("kaiming", "lecun"))
    weight = guide.gates.weight
    assert weight.var().item() * weight[0].numel() == pytest.approx(2, rel=0.05)
    weights, _ = published.split_gates()
    for part in ("own", "boundary"):
        assert weights[part].var().item() * weights[part][0].numel() == pytest.approx(1, rel=0.1)


def test_orthogonal_heads_have_orthonormal_rows():
    head = small(head_init="orthogonal").head.policy.weight
    torch.testing.assert_close(head @ head.t(), torch.eye(4), atol=1e-5, rtol=0)


def test_encoder_is_linear_and_keeps_the_board_size():
    encoder = small().encoder
    x, y = torch.randn(2, 2, 3, 7, 4).unbind(0)
    zero = encoder(torch.zeros_like(x))
    torch.testing.assert_close(encoder(x + y) - zero, encoder(x) + encoder(y) - 2 * zero, atol=1e-5, rtol=1e-4)
    assert encoder(x).shape == (2, 8, 7, 4)


def test_everything_but_the_head_takes_any_board_size():
    policy = small()
    obs, state, resets = sequence(policy, size=(9, 4))
    e = policy.encoder(obs.flatten(0, 1)).unflatten(0, obs.shape[:2])
    h_top, _ = policy.stack(e, state, resets, [2] * 6)
    assert h_top.shape == (6, 4, 8, 9, 4)
    with pytest.raises(ConfigError, match=r"board size: found \(9, 4\), allowed: \(5, 6\)"):
        policy(obs[0])


def test_more_repeats_change_logits_and_value():
    policy = small(head_init="orthogonal")
    obs = torch.rand(2, 3, 5, 6)
    three, _ = policy(obs)
    six, _ = policy(obs, repeats=6)
    default, _ = policy(obs, repeats=3)
    torch.testing.assert_close(three, default)
    assert (three.policy_logits - six.policy_logits).abs().max() > 1e-5
    assert (three.value - six.value).abs().max() > 1e-5


def test_repeats_equal_the_same_number_of_naive_ticks():
    policy = small()
    obs = torch.rand(2, 3, 5, 6)
    out, _ = policy(obs, repeats=7)
    logits, value, _ = plain_step(policy, obs, policy.init_state(2), 7)
    torch.testing.assert_close(out.policy_logits, logits, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(out.value, value, atol=1e-6, rtol=1e-5)


def test_shapes_and_state_layout():
    policy = small()
    out, (h, c) = policy(torch.rand(7, 3, 5, 6))
    assert out.policy_logits.shape == (7, 4) and out.value.shape == (7, 1)
    assert [x.shape for x in (*h, *c)] == [(7, 8, 5, 6)] * 6


def test_uint8_is_scaled_and_floats_are_taken_as_they_are():
    policy = small()
    pixels = torch.randint(0, 256, (2, 3, 5, 6), dtype=torch.uint8)
    torch.testing.assert_close(policy(pixels)[0], policy(pixels.float() / 255)[0])
    assert (policy(pixels)[0].value - policy(pixels.float())[0].value).abs().max() > 1e-5


def test_same_seed_same_policy_same_answers():
    obs = torch.rand(2, 3, 5, 6)
    torch.testing.assert_close(small()(obs)[0], small()(obs)[0], rtol=0, atol=0)


def test_every_parameter_gets_a_gradient():
    policy = small()
    obs, state, resets = sequence(policy)
    out, _ = policy.unroll(obs, state, resets)
    (out.policy_logits.square().sum() + out.value.square().sum()).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in policy.parameters())


def test_learns_a_dummy_label():
    policy = small(hidden_channels=4, num_layers=1, repeats_per_step=1)
    obs, label = torch.rand(8, 3, 5, 6), torch.arange(8) % 4
    optimizer = torch.optim.Adam(policy.parameters(), 1e-2)
    for _ in range(150):
        loss = torch.nn.functional.cross_entropy(policy(obs)[0].policy_logits, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_mixed_precision_keeps_the_recurrence_in_float32():
    policy = small()
    obs, state, resets = sequence(policy)
    exact, _ = policy.unroll(obs, state, resets)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, (h, _) = policy.unroll(obs, state, resets)
    assert h[0].dtype == torch.float32
    torch.testing.assert_close(mixed.value.float(), exact.value, atol=5e-3, rtol=0.1)
    mixed.value.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in policy.stack.parameters())


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"num_layers": 0}, "num_layers: found 0"),
        ({"kernel_size": 4}, "kernel_size: found 4, allowed: an odd number"),
        ({"obs_shape": (3, 5)}, "obs_shape: found"),
        ({"conv_init": "xavier"}, "conv_init: found 'xavier', allowed: kaiming | lecun"),
        ({"head_init": "zeros"}, "head_init: found 'zeros'"),
    ],
)
def test_impossible_sizes_are_refused_in_one_line(kwargs, message):
    with pytest.raises(ConfigError) as error:
        small(**kwargs)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("repeats", [0, [1, 2], [0] * 6])
def test_impossible_repeats_are_refused(repeats):
    policy = small()
    obs, state, resets = sequence(policy)
    with pytest.raises(ConfigError, match="repeats"):
        policy.unroll(obs, state, resets, repeats)


def test_an_empty_batch_gives_an_empty_answer():
    policy = small()
    out, _ = policy(torch.zeros(0, *policy.obs_shape))
    assert out.policy_logits.shape == (0, policy.num_actions)

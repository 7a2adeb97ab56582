"""Reading and replacing what policies compute: every name, the right numbers, and nothing changed by looking."""

import pytest
import torch
from shipped import OPTIONS, shipped
from small_drc import sequence, small
from torch.utils._pytree import tree_leaves

from drc_lab.errors import ConfigError
from drc_lab.interpretation.hooks import hooks, points_of, run_with_cache
from drc_lab.models.convlstm import ConvLSTMPolicy
from drc_lab.models.taps import Taps

GATES = ["pre", "i", "f", "g", "o", "c", "h"]
AFTER = ["head_input", "head_hidden", "logits", "value"]
WIRINGS = [
    {},
    {"num_layers": 1, "pool_and_inject": False},
    {"top_to_bottom": True, "residual": "layers_and_carry"},
    {"top_to_bottom": True, "pool_source": "below", "output_gate": "sigmoid", "boundary_ring": "outside"},
]


def names_of(policy, **kwargs):
    return [point.name for point in points_of(policy, **kwargs)]


def test_a_drc_names_all_that_a_tick_computes():
    policy = small(num_layers=2, repeats_per_step=3)
    ticks = [f"{layer}.{tick}.{what}" for tick in range(3) for layer in range(2) for what in ("pooled", *GATES)]
    assert names_of(policy) == ["encoding", *ticks, *AFTER]
    assert len(names_of(policy, repeats=1)) == 1 + 2 * 8 + 4


def test_rivals_name_theirs():
    plain = ConvLSTMPolicy(obs_shape=(3, 5, 6), num_actions=4, hidden_channels=4, num_layers=1, repeats_per_step=2)
    assert names_of(plain) == ["encoding", *(f"0.{tick}.{what}" for tick in range(2) for what in GATES), *AFTER]
    assert {"0.0.stream", "1.0.stream", "1.2.h"} < set(names_of(shipped("transformer")))
    assert names_of(shipped("small_cnn")) == ["encoding", *AFTER]


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("names", [["*.*.h", "*.*.c"], None])
def test_what_is_read_is_what_the_policy_computes(wiring, names):
    """By the fused loop (hidden and cell states alone) and operation by operation."""
    policy = small(**wiring)
    obs, state, _ = sequence(policy, T=1)
    (out, after), cache = run_with_cache(policy, obs[0], state, names)
    with torch.no_grad():
        (plain, _), other = run_with_cache(policy, obs[0], state, names)
        expected, carry = policy(obs[0], state)
    for found, wanted in zip(
        [*out, *tree_leaves(after), *plain], [*expected, *tree_leaves(carry), *expected], strict=True
    ):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)
    last = policy.repeats_per_step - 1
    if policy.stack.wiring.residual == "none":
        for layer, h in enumerate(carry[0]):
            torch.testing.assert_close(cache[f"{layer}.{last}.h"], h, atol=1e-5, rtol=1e-4)
    for layer, c in enumerate(carry[1]):
        torch.testing.assert_close(cache[f"{layer}.{last}.c"], c, atol=1e-5, rtol=1e-4)
    for name in other:
        torch.testing.assert_close(other[name], cache[name], atol=1e-5, rtol=1e-4)


def test_hidden_states_come_from_the_compiled_loop_and_gates_do_not(monkeypatch):
    policy, ticks = small(repeats_per_step=1), []
    plain = policy.stack.tick
    monkeypatch.setattr(policy.stack, "tick", lambda *args: ticks.append(args) or plain(*args))
    obs, state, _ = sequence(policy, T=1)
    with torch.no_grad():
        run_with_cache(policy, obs[0], state, ["0.0.h", "value"])
        assert len(ticks) == 1  # one to find out what there is
        run_with_cache(policy, obs[0], state, ["0.0.o"])
    assert len(ticks) == 2


@pytest.mark.parametrize("option", OPTIONS)
def test_writing_back_what_was_read_changes_no_bit(option):
    policy = shipped(option)
    obs = torch.rand(3, *policy.obs_shape)
    points = points_of(policy)
    with torch.no_grad(), hooks(policy, {}):
        (expected, carry), again = policy(obs), None
    if points:
        with torch.no_grad(), hooks(policy, {"*": lambda value, point: value.clone()}):
            again, new = policy(obs)
        assert all(
            torch.equal(a, b)
            for a, b in zip([*again, *tree_leaves(new)], [*expected, *tree_leaves(carry)], strict=True)
        )


def test_what_is_replaced_is_used_from_there_on_within_the_tick():
    """A hidden state of the first layer is read by the second in the same tick, and by the first in the next."""
    policy = small(num_layers=2, repeats_per_step=2)
    obs, state, _ = sequence(policy, T=1)
    with torch.no_grad():
        _, before = run_with_cache(policy, obs[0], state)
        with hooks(policy, {"0.0.h": lambda h, point: torch.zeros_like(h)}):
            _, after = run_with_cache(policy, obs[0], state)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    untouched = {"encoding", *(f"0.0.{what}" for what in ("pooled", *GATES[:-1])), "1.0.pooled"}
    assert changed == set(before) - untouched


def test_a_gate_that_forgets_all_leaves_only_what_is_new():
    policy = small(num_layers=1, repeats_per_step=1)
    obs, state, _ = sequence(policy, T=1)
    with torch.no_grad(), hooks(policy, {"*.*.f": lambda f, point: 0 * f}):
        _, cache = run_with_cache(policy, obs[0], state)
    torch.testing.assert_close(cache["0.0.c"], cache["0.0.i"] * cache["0.0.g"])
    torch.testing.assert_close(cache["0.0.h"], cache["0.0.o"] * torch.tanh(cache["0.0.c"]))


def test_a_sequence_is_its_steps_and_hooks_are_told_which():
    policy = small(num_layers=1)
    obs, state, resets = sequence(policy, T=4)
    steps = []
    with torch.no_grad():
        (out, _), cache = run_with_cache(policy, obs, state, ["0.2.c", "logits"], resets=resets)
        expected, _ = policy.unroll(obs, state, resets)
        with hooks(policy, {"0.2.c": lambda c, point: steps.append(point.step)}):
            policy.unroll(obs, state, resets)
    torch.testing.assert_close(out.policy_logits, expected.policy_logits, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(cache["logits"], expected.policy_logits, atol=1e-5, rtol=1e-4)
    assert cache["0.2.c"].shape == (4, 4, 8, 5, 6) and steps == [0, 1, 2, 3]


def test_names_of_the_pytorch_port_are_understood():
    """There the gate is called j, and what it lets in is called i."""
    policy = small(num_layers=2, repeats_per_step=2)
    obs, state, resets = sequence(policy, T=3)
    port = "features_extractor.cell_list.1.hook_{}.{}.1"
    seen = []
    with (
        torch.no_grad(),
        hooks(policy, {port.format("j", 2): lambda value, point: seen.append((point.name, point.step))}),
    ):
        policy.unroll(obs, state, resets)
    assert seen == [("1.1.i", 2)]
    (_, cache) = run_with_cache(policy, obs, state, [port.format("i", "*"), port.format("h", "*")], resets=resets)
    assert set(cache) == {"1.1.g", "1.1.h"}


def test_hooks_end_with_their_context_and_add_up():
    policy = small(num_layers=1)
    obs, state, _ = sequence(policy, T=1)
    with torch.no_grad():
        expected, _ = policy(obs[0], state)
        with pytest.raises(RuntimeError), hooks(policy, {"value": lambda value, point: value + 1}):
            raise RuntimeError
        assert policy.taps is None
        with hooks(policy, {"value": lambda value, point: value + 1}), hooks(policy, {"value": lambda v, point: 2 * v}):
            out, _ = policy(obs[0], state)
    torch.testing.assert_close(out.value, 2 * (expected.value + 1), atol=1e-4, rtol=1e-4)


def test_a_gradient_flows_through_what_is_read():
    policy = small(num_layers=1)
    obs, state, _ = sequence(policy, T=1)
    (out, _), cache = run_with_cache(policy, obs[0], state, ["0.0.h"])
    (gradient,) = torch.autograd.grad(out.value.sum(), cache["0.0.h"])
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("3.0.h", "LAYER.TICK.WHAT with layers 0 to 2, ticks 0 to 2, and of what pooled, pre, i, f, g, o, c, h"),
        ("0.7.h", "ticks 0 to 2"),
        ("0.0.spike", "of what pooled"),
        ("hidden", "encoding | head_input | head_hidden | logits | value | LAYER"),
    ],
)
def test_a_name_that_means_nothing_gets_one_line(name, line):
    with pytest.raises(ConfigError, match="names: found") as error:
        run_with_cache(small(), torch.zeros(1, 3, 5, 6), names=[name])
    assert line in str(error.value)


def test_another_shape_is_refused():
    policy = small()
    cut = {"0.0.h": lambda h, point: h[:, :3]}
    with pytest.raises(ConfigError, match=r"a tensor \(1, 8, 5, 6\) in its place"), hooks(policy, cut):
        policy(torch.zeros(1, 3, 5, 6))


def test_taps_leave_nothing_behind_in_a_copy():
    import copy

    for policy in (small(), shipped("convlstm")):
        policy.taps = Taps(lambda point, value: value)
        assert copy.deepcopy(policy).taps is None and policy.taps is not None


def test_names_are_looked_up_without_the_hooks_that_are_in_place():
    """One that puts in a batch of its own, and one that counts, see the boards that are played and no other."""
    policy = small(num_layers=1)
    obs, state, _ = sequence(policy, T=1)
    calls = []
    with torch.no_grad():
        _, cache = run_with_cache(policy, obs[0], state, ["0.0.c"])
        with hooks(policy, {"0.0.c": lambda c, point: calls.append(len(c)) or cache["0.0.c"]}):
            (_, _), again = run_with_cache(policy, obs[0], state, ["0.0.c"])
    assert calls == [4] and torch.equal(again["0.0.c"], cache["0.0.c"])


def test_more_ticks_than_its_own_can_be_hooked():
    policy, seen = small(num_layers=1), []
    with torch.no_grad(), hooks(policy, {"0.7.c": lambda c, point: seen.append(point.name)}, repeats=8):
        policy(torch.zeros(1, 3, 5, 6), None, 8)
    assert seen == ["0.7.c"]


def test_steps_are_counted_from_0_again_after_an_error():
    policy, steps = small(num_layers=1), []
    obs, state, resets = sequence(policy, T=3)

    def fail_once(c, point):
        steps.append(point.step)
        if len(steps) == 2:
            raise RuntimeError

    with torch.no_grad(), hooks(policy, {"0.0.c": fail_once}):
        with pytest.raises(RuntimeError):
            policy.unroll(obs, state, resets)
        policy.unroll(obs, state, resets)
    assert steps == [0, 1, 0, 1, 2]


def test_a_transformer_shows_maps_and_takes_them_back():
    policy = shipped("transformer")
    obs = torch.rand(2, *policy.obs_shape)
    with torch.no_grad():
        (_, state), cache = run_with_cache(policy, obs, None, ["*.*.h", "0.0.stream"])
        assert cache["0.0.stream"].shape == (2, policy.hidden_channels, *policy.obs_shape[1:])
        torch.testing.assert_close(cache["1.2.h"].flatten(2).transpose(1, 2), state)
        with hooks(policy, {"1.2.h": lambda h, point: 0 * h}):
            (_, after), _ = policy(obs), None
    assert not after.any()

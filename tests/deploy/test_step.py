"""The plain step of every policy against the policy itself, and what its inputs and outputs are called."""

import pytest
import torch
from presets import OBS_SHAPE, PRESETS, SMALL, policy_of
from torch.utils._pytree import tree_leaves, tree_map

from drc_lab.deploy.step import PolicyStep
from drc_lab.errors import ConfigError
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.mlp import MLPPolicy


def inputs_of(policy, batch, seed=0):
    torch.manual_seed(seed)
    obs = torch.randint(0, 256, (batch, *policy.obs_shape), dtype=torch.uint8)
    return obs, tree_map(torch.rand_like, policy.init_state(batch)), torch.arange(batch) % 2 == 0


@pytest.mark.parametrize("preset", PRESETS)
def test_the_step_equals_the_policy_resets_included(preset):
    policy = policy_of(preset)
    step = PolicyStep(policy)
    obs, state, resets = inputs_of(policy, batch=3)
    leaves = tree_leaves(state)
    logits, value, *carry = step(obs, *([resets, *leaves] if leaves else []))
    out, after = policy.unroll(obs[None], state, resets[None])
    torch.testing.assert_close(logits, out.policy_logits[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(value, out.value[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(carry, tree_leaves(after), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "switch",
    [
        {"residual": "layers"},
        {"residual": "layers_and_carry"},
        {"pool_source": "below"},
        {"output_gate": "sigmoid"},
        {"head": "cells"},
        {"head": "pool"},
    ],
    ids=str,
)
def test_the_step_equals_the_policy_in_the_other_wirings(switch):
    policy = DRCPolicy(OBS_SHAPE, 3, **SMALL, top_to_bottom=True, head_init="orthogonal", **switch)
    obs, state, resets = inputs_of(policy, batch=3)
    logits, _, *carry = PolicyStep(policy)(obs, resets, *tree_leaves(state))
    out, after = policy.unroll(obs[None], state, resets[None])
    torch.testing.assert_close(logits, out.policy_logits[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(carry, tree_leaves(after), rtol=1e-5, atol=1e-5)


def test_the_number_of_ticks_is_the_one_asked_for():
    policy = DRCPolicy(OBS_SHAPE, 3, **SMALL, head_init="orthogonal")
    obs, state, resets = inputs_of(policy, batch=2)
    step = PolicyStep(policy, repeats=5)
    assert step.interface.repeats == 5
    wanted = policy.unroll(obs[None], state, resets[None], 5)[0].policy_logits[0]
    torch.testing.assert_close(step(obs, resets, *tree_leaves(state))[0], wanted, rtol=1e-5, atol=1e-5)


def test_a_policy_for_any_board_is_exported_for_the_one_asked_for():
    policy = DRCPolicy(OBS_SHAPE, 3, **SMALL, head="pool", head_init="orthogonal")
    step = PolicyStep(policy, obs_shape=(3, 4, 7))
    assert step.interface.obs_shape == (3, 4, 7) and step.interface.carry["h_0"] == (4, 4, 7)
    obs = torch.rand(2, 3, 4, 7)
    logits = step(obs, *step.interface.example(2)[1:])[0]
    torch.testing.assert_close(logits, policy(obs)[0].policy_logits, rtol=1e-5, atol=1e-5)


def test_the_policy_itself_stays_as_it_was():
    policy = DRCPolicy(OBS_SHAPE, 3, **SMALL)
    before = policy(torch.ones(1, *OBS_SHAPE))[0].value
    PolicyStep(policy, repeats=5).to(torch.bfloat16)
    assert type(policy.stack).__name__ == "DRCStack" and policy.training
    torch.testing.assert_close(policy(torch.ones(1, *OBS_SHAPE))[0].value, before, rtol=0, atol=0)
    assert all(p.requires_grad for p in policy.parameters()) and policy.repeats_per_step == 3


def test_inputs_and_outputs_are_named_and_shaped():
    step = PolicyStep(DRCPolicy(OBS_SHAPE, 3, **SMALL)).interface
    assert step.inputs == ["obs", "resets", "h_0", "h_1", "c_0", "c_1"]
    assert step.outputs == ["logits", "value", "new_h_0", "new_h_1", "new_c_0", "new_c_1"]
    assert step.carry == dict.fromkeys(("h_0", "h_1", "c_0", "c_1"), (4, 5, 4))
    assert [x.dtype for x in step.example(2)[:3]] == [torch.uint8, torch.bool, torch.float32]
    plain = PolicyStep(MLPPolicy((7,), 3), "float32").interface
    assert (plain.inputs, plain.outputs) == (["obs"], ["logits", "value"])
    assert plain.example(2)[0].dtype == torch.float32


def test_in_half_precision_the_interface_stays_float32():
    step = PolicyStep(DRCPolicy(OBS_SHAPE, 3, **SMALL))
    example = step.interface.example(2)
    exact, rounded = step(*example), step.to(torch.bfloat16)(*example)
    assert {x.dtype for x in rounded} == {torch.float32}
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.05)
    assert (rounded[2] - exact[2]).abs().max() > 0


def test_impossible_ticks_and_observations_are_refused():
    policy = DRCPolicy(OBS_SHAPE, 3, **SMALL)
    with pytest.raises(ConfigError, match="repeats: found 0"):
        PolicyStep(policy, repeats=0)
    with pytest.raises(ConfigError, match=r"obs_dtype: found 'int64', allowed: uint8 \| float32"):
        PolicyStep(policy, "int64")

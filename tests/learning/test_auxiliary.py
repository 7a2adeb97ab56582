"""Auxiliary losses: what they see, and that they change nothing but by their gradients."""

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from drc_lab.learning.agent import Agent
from drc_lab.learning.auxiliary import AuxiliaryLoss, build_auxiliary, example
from drc_lab.learning.losses import A2CLoss
from drc_lab.learning.rollout_spec import RolloutSpec
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.mlp import MLPPolicy

SMALL = {"hidden_channels": 4, "num_layers": 1, "repeats_per_step": 1, "proj_dim": 8}
POLICIES = {
    "drc": lambda: DRCPolicy((3, 4, 4), 4, **SMALL),
    "cells": lambda: DRCPolicy((3, 4, 4), 4, head="cells", **SMALL),
    "mlp": lambda: MLPPolicy((3, 4, 4), 4, hidden_sizes=[6]),
}


class Sum(AuxiliaryLoss):
    """Remembers what it saw."""

    def __init__(self, hidden_size, coef=1.0):
        super().__init__(coef)
        self.read = nn.Linear(hidden_size, 1)

    def forward(self, rollout, out, hidden):
        self.hidden, self.out = hidden, out
        return self.read(hidden).mean()


def agent_of(policy, coef=1.0, **spec):
    rollout, _, hidden = example(policy, 4)
    torch.manual_seed(1)
    auxiliary = {} if coef is None else {"sum": Sum(hidden.shape[-1], coef)}
    agent = Agent(policy, A2CLoss(), torch.optim.Adam, RolloutSpec(**spec), auxiliary=auxiliary)
    return agent, rollout


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("bptt_steps", [None, 2])
def test_hidden_is_what_the_logits_are_made_of_at_each_step_of_each_env(name, bptt_steps):
    torch.manual_seed(0)
    policy = POLICIES[name]()
    agent, rollout = agent_of(policy, bptt_steps=bptt_steps)
    rollout = rollout._replace(obs=torch.rand_like(rollout.obs))
    agent._loss(rollout)
    seen, layer = agent.auxiliary["sum"], policy.output_layers()[0]
    assert seen.hidden.shape[:2] == (4, 2)
    if name != "cells":  # there the logits of all cells are averaged
        torch.testing.assert_close(layer(seen.hidden), seen.out.policy_logits)
    assert not layer._forward_pre_hooks


def test_its_parameters_are_optimised_counted_and_saved_with_the_policys():
    torch.manual_seed(0)
    agent, rollout = agent_of(POLICIES["drc"]())
    optimizer = agent.configure_optimizers()
    assert {id(p) for group in optimizer.param_groups for p in group["params"]} == {id(p) for p in agent.parameters()}
    assert any(name.startswith("auxiliary.sum.read") for name in agent.state_dict())
    agent._loss(rollout).backward()
    agent.measure_gradients()
    total = torch.stack([p.grad.square().sum() for p in agent.parameters()]).sum().sqrt()
    torch.testing.assert_close(agent.parts["grad_norm"], total)
    assert agent.auxiliary["sum"].read.weight.grad.abs().sum() > 0
    torch.testing.assert_close(
        agent.parts["auxiliary_sum"], agent.auxiliary["sum"](rollout, None, agent.auxiliary["sum"].hidden)
    )


def test_with_a_coefficient_of_zero_the_policy_learns_as_without():
    gradients = []
    for coef in (None, 0.0):
        torch.manual_seed(0)
        policy = POLICIES["drc"]()
        agent, rollout = agent_of(policy, coef)
        agent._loss(rollout).backward()
        gradients.append([p.grad for p in policy.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


def test_without_entries_there_are_no_losses_and_no_random_numbers_are_drawn():
    policy = POLICIES["mlp"]()
    state = torch.random.get_rng_state()
    assert build_auxiliary(OmegaConf.create({"none": None}), policy, 4) == build_auxiliary(None, policy, 4) == {}
    assert torch.equal(state, torch.random.get_rng_state())

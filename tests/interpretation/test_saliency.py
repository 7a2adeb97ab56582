"""Attributions of a policy of which it is known what it reads."""

import numpy as np
import pytest
import torch
from small_sokoban import make_env
from torch import nn

from drc_lab.interpretation.saliency import ACTION, METHODS, VALUE, attributions, contents, saliency
from drc_lab.learning.checkpoints import load_policy
from drc_lab.models.policy import Policy, PolicyValue


class OneCell(Policy):
    """Its second action reads two channels of cell (1, 2), its value cell (3, 0); nothing else is read."""

    def __init__(self):
        super().__init__()
        self.obs_shape = (3, 4, 5)
        self.scale = nn.Parameter(torch.tensor(2.0))

    def init_state(self, batch, H=None, W=None, device=None, dtype=None):
        return ()

    def unroll(self, obs, state, resets, repeats=None):
        logit = self.scale * (obs[..., 0, 1, 2] + 3 * obs[..., 2, 1, 2])
        return PolicyValue(torch.stack([0 * logit, logit + 1], -1), obs[..., 1, 3, 0][..., None]), state


@pytest.mark.parametrize("method", METHODS)
def test_only_what_is_read_is_attributed_to(method):
    obs = 0.5 + torch.rand(6, 3, 4, 5)
    action, value = (attributions(OneCell(), obs, method, of) for of in (ACTION, VALUE))
    assert action.shape == (6, 4, 5)
    assert (action.flatten(1).argmax(1) == 7).all() and torch.allclose(action.flatten(1).sum(1), action[:, 1, 2])
    assert (value.flatten(1).argmax(1) == 15).all() and torch.allclose(value.flatten(1).sum(1), value[:, 3, 0])
    expected = {"gradient": 2 * (1 + 3) * torch.ones(6)}.get(method, 2 * (obs[:, 0, 1, 2] + 3 * obs[:, 2, 1, 2]))
    torch.testing.assert_close(action[:, 1, 2], expected, atol=1e-4, rtol=1e-4)


def test_cells_are_named_by_what_they_hold():
    env = make_env(num_envs=20)
    obs, _ = env.reset(seed=0)
    holds = contents(env.batch, (5, 5))
    assert (holds["player"].sum((1, 2)) == 1).all() and (holds["box"].sum((1, 2)) == 1).all()
    assert (holds["wall"] == (obs[:, 0] == 255)).all() and (holds["target"].sum((1, 2)) == 1).all()


def test_an_agent_reads_player_box_and_target_more_than_their_share():
    policy, _ = load_policy("agents:/sokoban-one-box")
    found = saliency(policy, make_env(num_envs=40), ["gradient", "occlusion"], ["action"])
    assert [finding.name for finding in found] == [
        "saliency",
        "saliency_by_tick",
        "saliency_gradient",
        "saliency_occlusion",
    ]
    table = found[0].table.set_index(["method", "cell"])
    for cell in ("player", "box"):
        assert table.loc[("occlusion", cell), "share"] > 1.5 * table.loc[("occlusion", cell), "cells"]
    of_one = found[0].table[(found[0].table["method"] == "gradient") & (found[0].table["cell"] != "target")]
    assert of_one["share"].sum() == pytest.approx(1, abs=0.1)  # a target may be under a player
    assert set(found[1].table["ticks"]) == {1, 2}
    assert np.isfinite(found[2].table["largest"]).all()

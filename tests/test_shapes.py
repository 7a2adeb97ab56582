"""Shapes in annotations are checked while tests run: axes that are swapped or missing end a test where they occur."""

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError
from small_drc import sequence, small

from drc_lab.deploy.agreement import logits_of
from drc_lab.evaluation.play.evaluator import divergence
from drc_lab.evaluation.stats.intervals import paired_difference
from drc_lab.evaluation.watchers.cycles import Cycles
from drc_lab.learning.losses import A2CLoss
from drc_lab.learning.returns import gae
from drc_lab.models.drc_core import keep_masks
from drc_lab.models.drc_plain import plain_step


def test_swapped_axes_are_told_with_the_name_of_the_argument():
    policy = small()
    obs, state, resets = sequence(policy)
    with pytest.raises(TypeCheckError, match="'resets'"):
        policy.unroll(obs, state, resets.t())
    with pytest.raises(TypeCheckError, match="'e'"):
        policy.stack.tick(torch.zeros(4, 5, 6, 8), state)  # channels last
    with pytest.raises(TypeCheckError, match="'state'"):
        plain_step(policy, obs[0], ([h[0] for h in state[0]], state[1]), 1)


def test_what_a_function_returns_is_checked_as_well():
    policy = small()
    obs, state, resets = sequence(policy)
    policy.head.value = torch.nn.Sequential(policy.head.value, torch.nn.Flatten(0))  # an axis is lost
    with pytest.raises(TypeCheckError, match="return value"):
        policy.unroll(obs, state, resets)


def test_a_wrong_dtype_is_told():
    with pytest.raises(TypeCheckError, match="'resets'"):
        keep_masks(torch.zeros(3, 2), [1, 1, 1], torch.float32)


T, B, A = 3, 2, 4
POLICY = small()
OBS, _, RESETS = sequence(POLICY)
STEPS, LEVELS, BOARDS = torch.zeros(T, B), np.zeros(5), np.zeros((B, 3, 4, 4), np.uint8)


@pytest.mark.parametrize("call, culprit", [
    (lambda: logits_of(POLICY, OBS, RESETS[0], None), "resets"),  # of all steps
    (lambda: gae(STEPS, STEPS, STEPS, 0.9), "rewards"),  # no value of the bootstrap step
    (lambda: A2CLoss().policy_terms(STEPS, STEPS, STEPS[0]), "advantages"),  # would be broadcast
    (lambda: divergence(torch.zeros(B, A), torch.zeros(A, B)), "before"),
    (lambda: paired_difference(LEVELS, LEVELS[:, None]), "baseline"),
    (lambda: Cycles().seen(np.zeros((B, 1), np.int64), BOARDS, {}), "envs"),
], ids=["deploy", "learning", "loss", "evaluation", "statistics", "watcher"])  # fmt: skip
def test_a_wrong_axis_is_told_in_each_package_whose_shapes_are_checked(call, culprit):
    with pytest.raises(TypeCheckError, match=f"'{culprit}'"):
        call()

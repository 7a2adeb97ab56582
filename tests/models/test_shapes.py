"""Shapes in annotations are checked while tests run: axes that are swapped or missing end a test where they occur."""

import pytest
import torch
from jaxtyping import TypeCheckError
from small_drc import sequence, small

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

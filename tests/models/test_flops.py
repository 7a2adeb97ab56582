"""The operations that a DRC needs, against torch's own count of the same net written out."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from drc_lab.models.drc import DRCPolicy
from drc_lab.models.flops import Flops, hoisted_flops


def hoisted_step(policy, obs, h):
    """A step's convolutions and head; the gates' arithmetic, which is not counted, is cut short. All in one batch."""
    e = obs
    for conv in policy.encoder.convs:
        e = F.conv2d(e, conv.weight, padding="same")
    parts = [cell.split_gates()[0] for cell in policy.stack.cells]
    drives = [F.conv2d(e, part["e"], padding="same") for part in parts]
    for _ in range(policy.repeats_per_step):
        below = h[-1]
        for i, part in enumerate(parts):
            seen = torch.cat([below, h[i]] if part["below"].numel() else [h[i]], 1)
            z = drives[i] + F.conv2d(seen, torch.cat([part["below"], part["own"]], 1), padding="same")
            below = h[i] = sum(z.chunk(4, 1))
    return policy.head(h[-1])


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"num_layers": 1, "repeats_per_step": 1, "encoder_layers": 1},
        {"top_to_bottom": True, "encoder_layers": 3, "kernel_size": 5},
        {"head": "pool", "use_boundary_channel": False, "pool_and_inject": False},
        {"head": "cells", "unused_gate": True},
    ],
    ids=str,
)
def test_the_formula_is_what_torch_counts(switches):
    sizes = {"hidden_channels": 6, "num_layers": 2, "repeats_per_step": 3, "proj_dim": 7}
    policy, batch = DRCPolicy((3, 4, 5), 4, **(sizes | switches)), 2
    h = [torch.rand(batch, 6, 4, 5, requires_grad=True) for _ in policy.stack.cells]
    with FlopCounterMode(display=False) as forward:
        logits, value = hoisted_step(policy, torch.rand(batch, 3, 4, 5), h)
    with FlopCounterMode(display=False) as backward:
        (logits.sum() + value.sum()).backward()
    flops = hoisted_flops(policy)
    assert forward.get_total_flops() == batch * flops.forward
    assert backward.get_total_flops() == batch * (flops.input_gradient + flops.weight_gradient)


def test_the_guides_drc_by_hand():
    """DRC(3, 3), 32 channels, 3x10x10."""
    encoder, drive = 9 * (3 * 32 + 32 * 32) * 100, 3 * 9 * 32 * 128 * 100
    recurrence, head = 3 * 9 * (32 + 64 + 64) * 128 * 100, 3200 * 256 + 256 * 5
    forward = 2 * (encoder + drive + recurrence + head)
    assert forward == 136_367_360
    assert hoisted_flops(DRCPolicy((3, 10, 10), 4)) == Flops(forward, forward - 2 * 9 * 3 * 32 * 100, forward)

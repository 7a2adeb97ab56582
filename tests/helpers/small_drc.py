"""A small DRC, and a sequence for it with episodes that start within."""

import torch
from torch.utils._pytree import tree_map

from drc_lab.models.drc import DRCPolicy


def small(**kwargs) -> DRCPolicy:
    torch.manual_seed(1)
    return DRCPolicy(**({"obs_shape": (3, 5, 6), "num_actions": 4, "hidden_channels": 8} | kwargs))


def sequence(policy, T=6, B=4, size=None, dtype=torch.float32):
    C, H, W = policy.obs_shape
    H, W = size or (H, W)
    obs = torch.randn(T, B, C, H, W, dtype=dtype)
    resets = torch.rand(T, B) < 0.3
    state = tree_map(lambda x: torch.randn_like(x) * 0.5, policy.init_state(B, H, W, dtype=dtype))
    return obs, state, resets

"""How much memory it takes to play levels."""

import torch
from torch.utils._pytree import tree_flatten

from drc_lab.envs.interface import BatchEnv
from drc_lab.models.policy import Policy

COPIES = 3  # of carry and observation that exist at once when envs drop out or make extra passes


def bytes_per_level(policy: Policy, env: BatchEnv) -> int:
    """Upper bound on the bytes needed to play one level: COPIES times its observation and its carry."""
    shape = env.single_observation_space.shape or ()
    H, W = shape[1:] if len(shape) == 3 else (None, None)
    carry = [x for x in tree_flatten(policy.init_state(1, H, W))[0] if isinstance(x, torch.Tensor)]
    observation = torch.Size(shape).numel() * env.single_observation_space.dtype.itemsize  # type: ignore[union-attr]
    return COPIES * (observation + sum(x.numel() * x.element_size() for x in carry))

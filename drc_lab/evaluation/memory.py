"""Whether what an evaluation holds at a time fits into memory: found out before it begins, not hours into it."""

import psutil
import torch
from torch.utils._pytree import tree_flatten

from drc_lab.envs.interface import BatchEnv
from drc_lab.errors import ConfigError
from drc_lab.models.policy import Policy

COPIES = 3  # of carries and observations while envs are dropped, or think on


def bytes_per_level(policy: Policy, env: BatchEnv) -> int:
    """What playing one level takes at most: copies of its carry and its observation."""
    shape = env.single_observation_space.shape or ()
    H, W = shape[1:] if len(shape) == 3 else (None, None)
    carry = [x for x in tree_flatten(policy.init_state(1, H, W))[0] if isinstance(x, torch.Tensor)]
    observation = torch.Size(shape).numel() * env.single_observation_space.dtype.itemsize  # type: ignore[union-attr]
    return COPIES * (observation + sum(x.numel() * x.element_size() for x in carry))


def check_memory(key: str, found: int, bytes_each: int) -> None:
    """Refuses what would not fit into half of the memory that is free.

    Args:
        key: the setting.
        found: its value: so many things at a time.
        bytes_each: of one of them.

    Raises:
        ConfigError: there would be too many.
    """
    free = psutil.virtual_memory().available
    if found * bytes_each > free / 2:
        most = int(free / 2 / bytes_each)
        raise ConfigError(key, found, f"up to {most:,}: {free / 2**30:.1f} GiB are free, and half of them may be used")

"""Maps that depend on the board's size alone: the boundary plane, and which taps of a convolution fall inside."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from drc_lab.errors import ConfigError


@cache  # for good, as a CUDA graph reads it where it lies
def boundary_channel(height: int, width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Ones on the outermost cells, zeros inside (guide 2.4). Returns [1, 1, H, W], cached and never written to."""
    with torch.inference_mode(False):  # it outlives the mode of its first use
        plane = torch.ones(1, 1, height, width, device=device, dtype=dtype)
        plane[:, :, 1:-1, 1:-1] = 0
    return plane


@cache  # for good, as a CUDA graph reads it where it lies
def tap_kinds(height: int, width: int, kernel_size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Kinds of cell by which taps of a zero-padded k x k convolution fall inside the board.

    The convolution of a plane that is constant over space is itself constant over all cells of one kind, so it
    costs a small matrix product instead of a convolution (9 kinds for k = 3 and boards of 3 x 3 or larger).

    Returns:
        inside: bool [kinds, k * k], which taps are inside for each kind.
        kind: int64 [H * W], the kind of each cell.
    """
    reach = kernel_size // 2
    offset = np.arange(-reach, reach + 1)
    rows = (np.arange(height)[:, None] + offset >= 0) & (np.arange(height)[:, None] + offset < height)  # (H, k)
    cols = (np.arange(width)[:, None] + offset >= 0) & (np.arange(width)[:, None] + offset < width)  # (W, k)
    taps = (rows[:, None, :, None] & cols[None, :, None, :]).reshape(height * width, kernel_size**2)
    inside, kind = np.unique(taps, axis=0, return_inverse=True)
    with torch.inference_mode(False):  # they outlive the mode of their first use
        return torch.from_numpy(inside).to(device), torch.from_numpy(kind.reshape(-1)).to(device)


def check_planes(obs: Tensor, obs_shape: tuple[int, ...]) -> None:
    """Refuses observations [T, B, C, H, W] with another number of planes than the policy was built for.

    Raises:
        ConfigError: naming both shapes.
    """
    if obs.ndim != 5 or obs.shape[2] != obs_shape[0]:
        allowed = f"({obs_shape[0]}, height, width), as this policy was built for"
        raise ConfigError("obs", tuple(obs.shape[2:]), allowed)

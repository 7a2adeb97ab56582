"""Maps that depend only on the board's size: the boundary plane, and which taps of a convolution fall inside."""

from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from drc_lab.errors import ConfigError


@cache  # never freed, because CUDA graphs keep reading it at the same address
def boundary_channel(
    height: int, width: int, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "1 1 {height} {width}"]:
    """The boundary plane [1, 1, H, W]: ones on the outermost cells, zeros inside (guide 2.4).

    The tensor is cached and shared: do not write to it.
    """
    with torch.inference_mode(False):  # the cached tensor may be used outside of inference mode later
        plane = torch.ones(1, 1, height, width, device=device, dtype=dtype)
        plane[:, :, 1:-1, 1:-1] = 0
    return plane


@cache  # never freed, because CUDA graphs keep reading it at the same address
def tap_kinds(
    height: int, width: int, kernel_size: int, device: torch.device
) -> tuple[Bool[Tensor, "K {kernel_size**2}"], Int64[Tensor, "{height*width}"]]:
    """Groups cells into kinds by which taps of a zero-padded k x k convolution fall inside the board.

    The convolution of a spatially constant plane has the same value at all cells of one kind, so it can be computed
    as a small matrix product instead (9 kinds for k = 3 and boards of 3 x 3 or larger).

    Returns:
        inside: [K, k * k], which taps are inside for each kind.
        kind: [H * W], the kind of each cell.
    """
    reach = kernel_size // 2
    offset = np.arange(-reach, reach + 1)
    rows = (np.arange(height)[:, None] + offset >= 0) & (np.arange(height)[:, None] + offset < height)  # (H, k)
    cols = (np.arange(width)[:, None] + offset >= 0) & (np.arange(width)[:, None] + offset < width)  # (W, k)
    taps = (rows[:, None, :, None] & cols[None, :, None, :]).reshape(height * width, kernel_size**2)
    inside, kind = np.unique(taps, axis=0, return_inverse=True)
    with torch.inference_mode(False):  # the cached tensors may be used outside of inference mode later
        return torch.from_numpy(inside).to(device), torch.from_numpy(kind.reshape(-1)).to(device)


def check_planes(obs: Tensor, obs_shape: tuple[int, ...]) -> None:
    """Checks that observations are [T, B, C, H, W] with as many planes C as the policy was built for.

    Raises:
        ConfigError: they are not; it names both shapes.
    """
    if obs.ndim != 5 or obs.shape[2] != obs_shape[0]:
        allowed = f"({obs_shape[0]}, height, width), as this policy was built for"
        raise ConfigError("obs", tuple(obs.shape[2:]), allowed)

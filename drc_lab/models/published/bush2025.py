"""The DRC of Bush et al. (2025, arXiv:2504.01871), trained with thinker: a torch state dict as .npz, .tar or .pt.

In these weights, the convolution of a layer reads [encoding, hidden state below, own hidden state, pooled] and outputs
i, f, o, g and a fifth set. Only thinker's attention would read the fifth, and these agents don't have it.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from drc_lab.archives import read_npz
from drc_lab.errors import UserError
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.published.leaves import Leaves
from drc_lab.models.published.record import Board, Published, find_board
from drc_lab.saved_tensors import read_torch

TICKS = 3  # ticks per step of all published agents; the weights don't say
LARGEST = 2**30  # largest size in bytes that an archive may unpack to
NOT_THE_NETWORK = frozenset({"kl_beta"})  # a training setting that is saved with the weights
# The indices in thinker's Sokoban of this project's first, second, ... plane and action.
PLANES = (0, 1, 6, 3, 2, 4, 5)  # theirs: wall, floor, box, box on target, player, player on target, target
ACTIONS = (1, 2, 3, 4, 0)  # theirs: no-op, up, down, left, right


def read(path: Path, board: Board = None) -> Published:
    """Reads and converts a file of weights; see `drc_lab.models.published.read`.

    Raises:
        UserError: in one line, what is wrong with the file.
    """
    stored = _arrays(path) if path.suffix == ".npz" else _state_dict(path)
    leaves = Leaves(path, stored, torch.as_tensor)
    encoder = leaves.take("encoder.0.weight", None, None, None, None)  # (C, planes, k, k)
    C, planes, size, _ = encoder.shape
    weights = {
        "encoder.convs.0.weight": leaves.take("encoder.0.weight", C, planes, size, size),
        "encoder.convs.0.bias": leaves.take("encoder.0.bias", C),
    }
    layers = len({match[1] for name in stored if (match := re.match(r"core\.layers\.(\d+)\.", name))})
    kernel_size = 3
    for i in range(max(1, layers)):
        theirs, ours = f"core.layers.{i}", f"stack.cells.{i}"
        main = leaves.take(f"{theirs}.main.weight", 5 * C, 4 * C, None, None)
        kernel_size = main.shape[-1]
        main = leaves.take(f"{theirs}.main.weight", 5 * C, 4 * C, kernel_size, kernel_size)
        e, below, own, pooled = main.split(C, dim=1)
        weights[f"{ours}.gates.weight"] = _our_gates(torch.cat([e, pooled, below, own], dim=1))
        weights[f"{ours}.gates.bias"] = _our_gates(leaves.take(f"{theirs}.main.bias", 5 * C))
        weights[f"{ours}.pool.weight"] = leaves.take(f"{theirs}.proj.weight", C, 1, 2, 1)[:, 0, :, 0].t().contiguous()
        weights[f"{ours}.pool.bias"] = leaves.take(f"{theirs}.proj.bias", C)
    proj = leaves.take("final_layer.weight", None, None)
    width, features = proj.shape
    cells, rest = divmod(features, 2 * C)
    if rest:
        raise UserError(f"{path}: found final_layer.weight for {features} features, allowed: a multiple of {2 * C}")
    policy = leaves.take("policy.weight", None, width)
    weights |= {
        "head.proj.weight": proj,  # the features are [encoding, top hidden state] here and there
        "head.proj.bias": leaves.take("final_layer.bias", width),
        "head.policy.weight": policy,
        "head.policy.bias": leaves.take("policy.bias", len(policy)),
        "head.value.weight": leaves.take("baseline.weight", 1, width),
        "head.value.bias": leaves.take("baseline.bias", 1),
    }
    leaves.finish(beside=NOT_THE_NETWORK)
    arguments = {
        "hidden_channels": C,
        "num_layers": max(1, layers),
        "repeats_per_step": TICKS,
        "kernel_size": kernel_size,
        "use_boundary_channel": False,
        "proj_dim": width,
        "encoding_to_head": "concat",
        "encoder_layers": 1,
        "encoder_kernel_size": size,
        "pool_projection": "per_channel_bias",
        "top_to_bottom": True,
        "output_gate": "sigmoid",
        "forget_bias": 0.0,
        "unused_gate": True,
        "conv_init": "torch",
        "proj_init": "torch",
        "head_init": "torch",
    }
    shape = (planes, *find_board(path, cells, [board]))
    order = (PLANES, ACTIONS) if (planes, len(policy)) == (len(PLANES), len(ACTIONS)) else ((), ())  # not Sokoban
    return Published(path, DRCPolicy, arguments, shape, len(policy), weights, *order)


def _our_gates(theirs: Tensor) -> Tensor:
    i, f, o, g, unused = theirs.chunk(5)  # (5C, ...)
    return torch.cat([i, f, g, o, unused])


def _arrays(path: Path) -> Mapping[str, np.ndarray]:
    try:
        return read_npz(path, LARGEST)
    except UserError:
        raise
    except Exception as error:  # on damaged files zipfile and numpy can raise almost any error
        raise UserError(f"{path}: no whole .npz file of arrays ({' '.join(str(error).split())})") from None


def _state_dict(path: Path) -> Mapping[str, Tensor]:
    try:
        stored = read_torch(path)
    except UserError:
        raise
    except Exception as error:  # on damaged files torch can raise almost any error
        raise UserError(f"{path}: neither a cp_* folder, nor a whole .npz, .tar or .pt file of weights") from error
    if isinstance(stored, dict):
        stored = stored.get("actor_net_state_dict", stored)
    if not isinstance(stored, dict) or not all(isinstance(w, Tensor) for w in stored.values()):
        raise UserError(f"{path}: found no state dict of tensors in it")
    return {str(name): w for name, w in stored.items()}

"""Folders ``cp_*`` of train-learned-planner (Taufeeque et al. 2024, arXiv:2407.15421): its DRC and its ResNet.

In its weights, the axes of maps are (height, width, channels) and those of kernels (height, width, in, out). The gates
of a ConvLSTM cell are named i (tanh), j, f, o, which the guide calls g, i, f, o. A cell has three convolutions: over
[encoding, hidden state below, pooled], over its own hidden state, and over the boundary plane.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drc_lab.errors import UserError
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.published.cleanba import ConvLSTMCellConfig, ConvLSTMConfig, GuezResNetConfig, read_config
from drc_lab.models.published.flax_bytes import read_params
from drc_lab.models.published.leaves import Leaves
from drc_lab.models.published.record import GATE_INPUTS, Board, Published, find_board
from drc_lab.models.resnet import ResNetPolicy

POOL_PROJECTIONS = {"full": "full", "per-channel": "per_channel", "overall": "overall", "max": "max", "mean": "mean"}
POOL_SOURCES = {"horizontal": "own", "vertical": "below"}
BOUNDARY_RINGS = {"same": "edge", "valid": "outside"}
INPUT = "xXx_Input_xXx"  # their name for the ResNet's first convolution
PUBLISHED_INIT = {"conv_init": "lecun", "proj_init": "lecun", "head_init": "orthogonal"}


def read(folder: Path, board: Board = None) -> Published:
    """Reads and converts a folder with ``cfg.json`` and ``model``; see `drc_lab.models.published.read`.

    Raises:
        UserError: in one line, what is wrong with which file.
    """
    net, own_board = read_config(folder / "cfg.json")
    leaves = read_params(folder / "model")
    boards = (board, own_board)
    if isinstance(net, ConvLSTMConfig):
        imported = _drc(net, leaves, boards)
    else:
        assert isinstance(net, GuezResNetConfig)
        imported = _resnet(net, leaves, boards)
    leaves.finish()
    return imported


def _drc(net: ConvLSTMConfig, leaves: Leaves, boards: tuple[Board, Board]) -> Published:
    cell, path, root = net.recurrent, leaves.path, "network_params"
    C = cell.conv.features
    size = net.embed[0].kernel_size
    for i, conv in enumerate(net.embed):
        if (conv.features, conv.kernel_size) != (C, size):
            found, allowed = f"{conv.features} features, kernel {conv.kernel_size}", f"{C} features, kernel {size}"
            raise UserError(f"{path.with_name('cfg.json')}: net.embed.{i}: found {found}, allowed: {allowed}")
    cell = _fill_in(cell, leaves)
    weights = {}
    for i, conv in enumerate(net.embed):
        name = f"{root}.conv_list_{i}"
        weights[f"encoder.convs.{i}.weight"] = _conv(leaves, f"{name}.kernel", size, C if i else None, C)
        weights[f"encoder.convs.{i}.bias"] = leaves.take_bias(f"{name}.bias", C, conv.use_bias)
    for i in range(net.n_recurrent):
        weights |= {f"stack.cells.{i}.{name}": w for name, w in _cell(cell, leaves, f"{root}.cell_list_{i}").items()}
    head, board = _head(leaves, f"{root}.dense_list_0", C, net.mlp_hiddens[0], net.head_scale, boards)
    residual = "none" if not net.residual else "layers" if net.skip_final else "layers_and_carry"
    pools = cell.pool_and_inject != "no"
    arguments = PUBLISHED_INIT | {
        "hidden_channels": C,
        "num_layers": net.n_recurrent,
        "repeats_per_step": net.repeats_per_step,
        "kernel_size": cell.conv.kernel_size,
        "pool_and_inject": pools,
        "use_boundary_channel": cell.fence_pad != "no",
        "proj_dim": net.mlp_hiddens[0],
        "encoding_to_head": "add" if net.skip_final else "none",
        "encoder_layers": len(net.embed),
        "encoder_kernel_size": size,
        "encoder_relu": net.use_relu,
        "top_to_bottom": True,
        "residual": residual,
        "output_gate": cell.output_activation,
        "forget_bias": cell.forget_bias,
    }
    if pools:
        arguments["pool_source"] = POOL_SOURCES[cell.pool_and_inject]
        arguments["pool_projection"] = POOL_PROJECTIONS[cell.pool_projection]
    if cell.fence_pad != "no":
        arguments["boundary_ring"] = BOUNDARY_RINGS[cell.fence_pad]
    planes = weights["encoder.convs.0.weight"].shape[1]
    num_actions = len(head["head.policy.bias"])
    return Published(path.parent, DRCPolicy, arguments, (planes, *board), num_actions, weights | head)


def _fill_in(cell: ConvLSTMCellConfig, leaves: Leaves) -> ConvLSTMCellConfig:
    """Infers keys that older configurations do not have yet from the weights."""
    first, more = "network_params.cell_list_0", {}
    if "fence_pad" not in cell.model_fields_set and f"{first}.fence.kernel" not in leaves:
        more["fence_pad"] = "no"
    if "pool_projection" not in cell.model_fields_set and f"{first}.project" in leaves:
        more["pool_projection"] = "per-channel"
    return cell.model_copy(update=more)


def _cell(cell: ConvLSTMCellConfig, leaves: Leaves, name: str) -> dict[str, Tensor]:
    """The weights of one ConvLSTM layer, converted."""
    C, k, pools = cell.conv.features, cell.conv.kernel_size, cell.pool_and_inject != "no"
    ih = _conv(leaves, f"{name}.ih.kernel", k, (2 + pools) * C, 4 * C)
    inputs = dict(zip(("e", "below", "pooled"), ih.split(C, dim=1), strict=False))
    inputs["own"] = _conv(leaves, f"{name}.hh.kernel", k, C, 4 * C)
    if cell.fence_pad != "no":
        # Older files have a kernel for C identical boundary planes, which equals its sum applied to one plane.
        inputs["boundary"] = _conv(leaves, f"{name}.fence.kernel", k, None, 4 * C).sum(1, keepdim=True)
    weight = torch.cat([inputs[part] for part in GATE_INPUTS if part in inputs], dim=1)  # (4C, inputs, k, k)
    bias = _our_gates(leaves.take_bias(f"{name}.ih.bias", 4 * C, cell.conv.use_bias))
    bias[C : 2 * C] += cell.forget_bias  # their code adds it at every tick instead of storing it
    weights = {"gates.weight": _our_gates(weight), "gates.bias": bias}
    if not pools:
        return weights
    if cell.pool_projection == "full":
        mix = leaves.take(f"{name}.Dense_0.kernel", 2 * C, C)
        weights["pool.weight"] = mix.roll(C, dims=0).t().contiguous()  # [max, mean] x C -> C x [mean, max]
    elif cell.pool_projection in ("per-channel", "overall"):
        width = C if cell.pool_projection == "per-channel" else 1
        weights["pool.weight"] = leaves.take(f"{name}.project", 2, width).flip(0)  # max, mean -> mean, max
    return weights


def _resnet(net: GuezResNetConfig, leaves: Leaves, boards: tuple[Board, Board]) -> Published:
    stages = min(len(net.channels), len(net.kernel_sizes), len(net.strides))  # their loop zips all three
    channels, sizes = net.channels[:stages], net.kernel_sizes[:stages]
    weights, planes = {}, None
    for i, (C, size) in enumerate(zip(channels, sizes, strict=True)):
        theirs, ours = f"network_params.GuezConvSequence_{i}", f"stages.{i}"
        convs = {f"{theirs}.{'Conv_0' if i else INPUT}": f"{ours}.conv"}
        convs |= {f"{theirs}.GuezResidualBlock_{j}.Conv_0": f"{ours}.residuals.{j}" for j in range(2)}
        for j, (source, target) in enumerate(convs.items()):
            weights[f"{target}.convs.0.weight"] = _conv(leaves, f"{source}.kernel", size, C if j else planes, C)
            weights[f"{target}.convs.0.bias"] = leaves.take(f"{source}.bias", C)
        planes = C
    head, board = _head(leaves, "network_params.Dense_0", channels[-1], net.mlp_hiddens[0], net.head_scale, boards)
    if net.yang_init:
        head["head.proj.weight"] *= 2  # their code doubles the features instead
    arguments = PUBLISHED_INIT | {"channels": channels, "kernel_sizes": sizes, "proj_dim": net.mlp_hiddens[0]}
    obs_shape = (weights["stages.0.conv.convs.0.weight"].shape[1], *board)
    num_actions = len(head["head.policy.bias"])
    return Published(leaves.path.parent, ResNetPolicy, arguments, obs_shape, num_actions, weights | head)


def _head(leaves: Leaves, dense: str, C: int, width: int, value_scale: float, boards: tuple[Board, Board]) -> Any:
    """The head's weights, and the (H, W) of the board that it is for."""
    kernel = leaves.take(f"{dense}.kernel", None, width)
    cells, rest = divmod(len(kernel), C)
    if rest:
        raise UserError(f"{leaves.path}: found {dense}.kernel for {len(kernel)} features, allowed: a multiple of {C}")
    height, width_of_board = find_board(leaves.path, cells, boards)
    # (H*W*C, M) -> (M, C*H*W)
    proj = kernel.unflatten(0, (height, width_of_board, C)).permute(3, 2, 0, 1).flatten(1)
    actor, critic = (f"{name}_params.Output" for name in ("actor", "critic"))
    policy = leaves.take(f"{actor}.kernel", width, None).t()
    return {
        "head.proj.weight": proj,
        "head.proj.bias": leaves.take(f"{dense}.bias", width),
        "head.policy.weight": policy.contiguous(),
        "head.policy.bias": leaves.take(f"{actor}.bias", len(policy)),
        "head.value.weight": leaves.take(f"{critic}.kernel", width, 1).t() * value_scale,
        "head.value.bias": leaves.take(f"{critic}.bias", 1) * value_scale,
    }, (height, width_of_board)


def _conv(leaves: Leaves, name: str, size: int, inputs: int | None, outputs: int) -> Tensor:
    return leaves.take(name, size, size, inputs, outputs).permute(3, 2, 0, 1).contiguous()  # HWIO -> OIHW


def _our_gates(theirs: Tensor) -> Tensor:
    g, i, f, o = theirs.chunk(4)  # (4C, ...); they name these i, j, f, o
    return torch.cat([i, f, g, o])

"""Saves policies of this project as checkpoints that train-learned-planner (JAX) can read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from drc_lab.errors import UserError
from drc_lab.files import written
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.drc_cell import ConvLSTMCell
from drc_lab.models.heads import ActorCriticHead, Head
from drc_lab.models.policy import Policy
from drc_lab.models.published.flax_bytes import to_bytes
from drc_lab.models.published.learned_planner import BOUNDARY_RINGS, INPUT, POOL_PROJECTIONS, POOL_SOURCES
from drc_lab.models.published.record import GATE_INPUTS
from drc_lab.models.resnet import ResNetPolicy

RING_NAMES, SOURCE_NAMES, PROJECTION_NAMES = (
    {ours: theirs for theirs, ours in names.items()} for names in (BOUNDARY_RINGS, POOL_SOURCES, POOL_PROJECTIONS)
)


@torch.no_grad()
def save_flax(policy: Policy, folder: str | Path) -> None:
    """Writes a folder with ``cfg.json`` and ``model``; on an error, no incomplete folder remains.

    It contains the network, and the board's size as that of the training env, but no optimizer state.

    Args:
        policy: a DRCPolicy whose switches exist in the original code too, or a ResNetPolicy.
        folder: path of the folder, which must not exist yet or be empty.

    Raises:
        UserError: naming the switch that the format cannot represent, or why the folder cannot be written.
    """
    folder = Path(folder)
    if isinstance(policy, DRCPolicy):
        net, tree = _drc(policy)
    elif isinstance(policy, ResNetPolicy):
        net, tree = _resnet(policy)
    else:
        raise UserError(f"policy: found a {type(policy).__name__}, allowed in flax: DRCPolicy | ResNetPolicy")
    tree |= {
        "actor_params": {"Output": _dense(_head(policy).policy)},
        "critic_params": {"Output": _dense(policy.head.value)},
    }
    env = {
        "_type_": "cleanba.environments:SokobanConfig",
        "max_episode_steps": 120,
        "tinyworld_obs": True,
        "dim_room": list(policy.obs_shape[1:]),
    }
    args = {"_type_": "cleanba.config:Args", "net": net, "train_env": env}
    state = {"step": 0, "params": {"params": tree}, "opt_state": {}}
    with written(folder) as part:
        part.mkdir()
        (part / "cfg.json").write_text(json.dumps({"cfg": args, "update_step": 1}, indent=1))
        (part / "model").write_bytes(to_bytes(state))


def _refuse(switch: str, found: Any, allowed: str) -> None:
    raise UserError(f"policy.{switch}: found {found!r}, allowed in a checkpoint of train-learned-planner: {allowed}")


def _drc(policy: DRCPolicy) -> tuple[dict[str, Any], dict[str, Any]]:
    """The net's configuration and its parameters."""
    wiring, encoder = policy.stack.wiring, policy.encoder
    if not wiring.top_to_bottom:
        _refuse("top_to_bottom", False, "true")
    if wiring.pool_and_inject and wiring.pool_projection not in PROJECTION_NAMES:
        _refuse("pool_projection", wiring.pool_projection, " | ".join(PROJECTION_NAMES))
    if wiring.unused_gate:
        _refuse("unused_gate", True, "false")
    heads = {"none": ("add", "none"), "layers": ("add",), "layers_and_carry": ("none",)}[wiring.residual]
    if policy.encoding_to_head not in heads:
        _refuse("encoding_to_head", policy.encoding_to_head, f"{' | '.join(heads)} with residual={wiring.residual}")
    C, convs = policy.stack.channels, _convs(encoder)
    recurrent = {
        "_type_": "cleanba.convlstm:ConvLSTMCellConfig",
        "conv": _conv_config(C, wiring.kernel_size),
        "pool_and_inject": SOURCE_NAMES[wiring.pool_source] if wiring.pool_and_inject else "no",
        "pool_projection": PROJECTION_NAMES[wiring.pool_projection] if wiring.pool_and_inject else "full",
        "output_activation": wiring.output_gate,
        "forget_bias": 0.0,  # already included in the stored bias
        "fence_pad": RING_NAMES[wiring.boundary_ring] if wiring.use_boundary_channel else "no",
    }
    net = _spec("cleanba.convlstm:ConvLSTMConfig", policy) | {
        "n_recurrent": len(policy.stack.cells),
        "repeats_per_step": policy.repeats_per_step,
        "skip_final": policy.encoding_to_head == "add",
        "residual": wiring.residual != "none",
        "embed": [_conv_config(C, conv.kernel_size[0]) for conv in convs],
        "recurrent": recurrent,
        "use_relu": encoder.relu_between,
    }
    tree = {f"conv_list_{i}": _conv(conv) for i, conv in enumerate(convs)}
    tree |= {f"cell_list_{i}": _cell(cell) for i, cell in enumerate(policy.stack.cells)}
    return net, {"network_params": tree | {"dense_list_0": _flatten_dense(policy)}}


def _cell(cell: nn.Module) -> dict[str, Any]:
    assert isinstance(cell, ConvLSTMCell)
    C, wiring = cell.channels, cell.wiring
    widths = {"pooled": C * wiring.pool_and_inject, "boundary": int(wiring.use_boundary_channel)}
    weights = cell.gates.weight.split([widths.get(part, C) for part in GATE_INPUTS], dim=1)
    kernels = {part: _kernel(_their_gates(w)) for part, w in zip(GATE_INPUTS, weights, strict=True) if w.shape[1]}
    ih = np.concatenate([kernels[name] for name in ("e", "below", "pooled") if name in kernels], axis=2)
    tree: dict[str, Any] = {
        "ih": {"kernel": ih, "bias": _numpy(_their_gates(cell.gates.get_parameter("bias")))},
        "hh": {"kernel": kernels["own"]},
    }
    if "boundary" in kernels:
        tree["fence"] = {"kernel": kernels["boundary"]}
    if cell.pool is None or cell.pool.weight is None:
        return tree
    if cell.pool.projection == "full":
        tree["Dense_0"] = {"kernel": _numpy(cell.pool.weight.t().roll(C, dims=0))}  # [mean, max] -> [max, mean]
    else:
        tree["project"] = _numpy(cell.pool.weight.flip(0))  # mean, max -> max, mean
    return tree


def _resnet(policy: ResNetPolicy) -> tuple[dict[str, Any], dict[str, Any]]:
    """The net's configuration and its parameters."""
    net = _spec("cleanba.network:GuezResNetConfig", policy) | {"channels": [], "strides": [], "kernel_sizes": []}
    tree: dict[str, Any] = {}
    for i, stage in enumerate(policy.stages):
        conv, *residuals = _convs(stage)
        for key, value in {"channels": conv.out_channels, "strides": 1, "kernel_sizes": conv.kernel_size[0]}.items():
            net[key].append(value)
        tree[f"GuezConvSequence_{i}"] = {"Conv_0" if i else INPUT: _conv(conv)} | {
            f"GuezResidualBlock_{j}": {"Conv_0": _conv(residual)} for j, residual in enumerate(residuals)
        }
    return net, {"network_params": tree | {"Dense_0": _flatten_dense(policy)}}


def _spec(kind: str, policy: DRCPolicy | ResNetPolicy) -> dict[str, Any]:
    """The keys that the configurations of all nets share."""
    return {
        "_type_": kind,
        "yang_init": False,
        "norm": {"_type_": "cleanba.network:IdentityNorm"},
        "normalize_input": False,
        "head_scale": 1.0,
        "mlp_hiddens": [_head(policy).proj.out_features],
    }


def _conv_config(features: int, kernel_size: int) -> dict[str, Any]:
    return {
        "_type_": "cleanba.convlstm:ConvConfig",
        "features": features,
        "kernel_size": [kernel_size] * 2,
        "strides": [1, 1],
        "padding": "SAME",
        "use_bias": True,
        "initialization": "lecun",
    }


def _convs(module: nn.Module) -> list[nn.Conv2d]:
    """The module's convolutions, in the order in which they are applied."""
    return [part for part in module.modules() if isinstance(part, nn.Conv2d)]


def _head(policy: DRCPolicy | ResNetPolicy) -> Head:
    if not isinstance(policy.head, ActorCriticHead):
        _refuse("head", type(policy.head).__name__, "flatten")
    return policy.head


def _flatten_dense(policy: DRCPolicy | ResNetPolicy) -> dict[str, np.ndarray]:
    """The head's shared layer, converted to features in the order height, width, channels."""
    proj = _head(policy).proj
    C, H, W = policy.head.shape
    kernel = proj.weight.unflatten(1, (C, H, W)).permute(2, 3, 1, 0).flatten(0, 2)  # (M, C*H*W) -> (H*W*C, M)
    return {"kernel": _numpy(kernel), "bias": _numpy(proj.bias)}


def _dense(linear: nn.Linear) -> dict[str, np.ndarray]:
    return {"kernel": _numpy(linear.weight.t()), "bias": _numpy(linear.bias)}


def _conv(conv: nn.Conv2d) -> dict[str, np.ndarray]:
    assert conv.bias is not None
    return {"kernel": _kernel(conv.weight), "bias": _numpy(conv.bias)}


def _kernel(weight: Tensor) -> np.ndarray:
    return _numpy(weight.permute(2, 3, 1, 0))  # OIHW -> HWIO


def _their_gates(ours: Tensor) -> Tensor:
    i, f, g, o = ours.chunk(4)  # (4C, ...); they order them g, i, f, o, and name these i, j, f, o
    return torch.cat([g, i, f, o])


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()

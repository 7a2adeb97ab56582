"""Checkpoints in the published formats, made and changed by hand."""

import json

import msgpack
import numpy as np
import torch

from drc_lab.models.drc import DRCPolicy
from drc_lab.models.published import save_flax
from drc_lab.models.resnet import ResNetPolicy

PUBLISHED = {"encoding_to_head": "add", "boundary_ring": "outside", "top_to_bottom": True, "pool_projection": "full"}
SIZES = {"hidden_channels": 4, "num_layers": 2, "repeats_per_step": 2, "proj_dim": 8, "encoder_kernel_size": 4}


class Payload:
    """Pickled code: unpickling it would make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def noisy(policy):
    """With weights large enough that every one of them matters."""
    with torch.no_grad():
        for weight in policy.parameters():
            weight.copy_(torch.randn_like(weight) * 0.15)
    return policy.eval()


def drc(obs_shape=(3, 6, 6), num_actions=4, **switches):
    return noisy(DRCPolicy(obs_shape, num_actions, **(SIZES | PUBLISHED | switches)))


def resnet(obs_shape=(3, 6, 6), num_actions=4):
    return noisy(ResNetPolicy(obs_shape, num_actions, channels=(4, 5), kernel_sizes=(4, 3), proj_dim=8))


def written(folder, policy=None):
    save_flax(policy or drc(), folder)
    return folder


def leaf(array):
    return msgpack.ExtType(1, msgpack.packb((array.shape, array.dtype.name, array.tobytes())))


def value(packed):
    shape, dtype, raw = msgpack.unpackb(packed.data)
    return np.frombuffer(raw, dtype).reshape(shape)


def change_model(folder, change):
    """change(path, array) -> what stands in the array's place; None takes it away."""

    def visit(node, path):
        if not isinstance(node, dict):
            return change(path, value(node))
        children = {name: visit(child, (*path, name)) for name, child in node.items()}
        return {name: child for name, child in children.items() if child is not None}

    state = msgpack.unpackb((folder / "model").read_bytes())
    state["params"] = visit(state["params"], ())
    (folder / "model").write_bytes(msgpack.packb(state))


def change_config(folder, change):
    """change(config) edits it in place, or returns another."""
    config = json.loads((folder / "cfg.json").read_text())
    config = change(config) or config
    (folder / "cfg.json").write_text(json.dumps(config))


def bush_state(C=4, layers=2, planes=7, cells=36, actions=5, width=8):
    """A state dict of thinker's DRC with random weights."""
    shapes = {"encoder.0.weight": (C, planes, 3, 3), "encoder.0.bias": (C,)}
    for i in range(layers):
        shapes |= {f"core.layers.{i}.main.weight": (5 * C, 4 * C, 3, 3), f"core.layers.{i}.main.bias": (5 * C,)}
        shapes |= {f"core.layers.{i}.proj.weight": (C, 1, 2, 1), f"core.layers.{i}.proj.bias": (C,)}
    shapes |= {"final_layer.weight": (width, 2 * C * cells), "final_layer.bias": (width,)}
    shapes |= {"policy.weight": (actions, width), "policy.bias": (actions,)}
    shapes |= {"baseline.weight": (1, width), "baseline.bias": (1,)}
    return {name: torch.randn(shape) * 0.3 for name, shape in shapes.items()}

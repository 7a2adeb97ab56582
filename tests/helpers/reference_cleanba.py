"""The equations of train-learned-planner's networks on the arrays of a cp_* folder, written out plainly.

Maps are [B, H, W, C], kernels [k, k, in, out], as there. A leaf's payload is decoded by hand.
"""

import json

import msgpack
import numpy as np
import torch
import torch.nn.functional as F


def tree_of(folder):
    """The params as nested maps of arrays."""

    def leaf(code, data):
        assert code == 1
        shape, dtype, raw = msgpack.unpackb(data)
        return torch.from_numpy(np.frombuffer(raw, dtype).reshape(shape).copy())

    state = msgpack.unpackb((folder / "model").read_bytes(), ext_hook=leaf)
    return state["params"]["params"]


def conv(x, layer, pad="SAME"):
    kernel = layer["kernel"].permute(3, 2, 0, 1)
    before, after = ((kernel.shape[-1] - 1) // 2, kernel.shape[-1] // 2) if pad == "SAME" else (0, 0)
    y = F.conv2d(F.pad(x.permute(0, 3, 1, 2), (before, after, before, after)), kernel, layer.get("bias"))
    return y.permute(0, 2, 3, 1)


def dense(x, layer):
    return x @ layer["kernel"] + layer["bias"]


def ring(height, width):
    ones = torch.ones(1, height, width, 1)
    ones[:, 1:-1, 1:-1] = 0
    return ones


def cell(net, p, c, h, e, below):
    _, H, W, C = h.shape
    cfg = net["recurrent"]
    inputs = [e, below]
    if cfg["pool_and_inject"] != "no":
        source = h if cfg["pool_and_inject"] == "horizontal" else below
        peak, mean = source.amax((1, 2)), source.mean((1, 2))
        pooled = {
            "max": lambda: peak,
            "mean": lambda: mean,
            "full": lambda: torch.cat([peak, mean], -1) @ p["Dense_0"]["kernel"],
            "per-channel": lambda: p["project"][0] * peak + p["project"][1] * mean,
            "overall": lambda: p["project"][0] * peak + p["project"][1] * mean,
        }[cfg["pool_projection"]]()
        inputs.append(pooled[:, None, None].expand(-1, H, W, C))
    gates = conv(torch.cat(inputs, -1), p["ih"]) + conv(h, p["hh"])
    if cfg["fence_pad"] == "same":
        gates = gates + conv(ring(H, W), p["fence"])
    elif cfg["fence_pad"] == "valid":
        grow = p["fence"]["kernel"].shape[0] - 1
        gates = gates + conv(ring(H + grow, W + grow), p["fence"], "VALID")
    i, j, f, o = gates.split(C, -1)
    c = c * torch.sigmoid(f + cfg["forget_bias"]) + torch.tanh(i) * torch.sigmoid(j)
    return c, torch.tanh(c) * (torch.tanh(o) if cfg["output_activation"] == "tanh" else torch.sigmoid(o))


def drc(net, p, x, carry):
    """One step: the features before the head, and the new carry [(c, h)]."""
    for i in range(len(net["embed"])):
        x = conv(torch.relu(x) if i and net["use_relu"] else x, p[f"conv_list_{i}"])
    carry = list(carry)
    for _ in range(net["repeats_per_step"]):
        below = carry[-1][1]
        for layer, (c, h) in enumerate(carry):
            c, h = carry[layer] = cell(net, p[f"cell_list_{layer}"], c, h, x, below)
            below = below + h if net["residual"] else h
        if not net["skip_final"]:
            carry[-1] = carry[-1][0], below
    features = carry[-1][1] + x if net["skip_final"] else carry[-1][1]
    return torch.relu(dense(features.flatten(1), p["dense_list_0"])), carry


def resnet(net, p, x):
    for i in range(len(net["channels"])):
        stage = p[f"GuezConvSequence_{i}"]
        x = conv(x, stage["Conv_0" if i else "xXx_Input_xXx"])
        for j in range(2):
            x = x + conv(torch.relu(x), stage[f"GuezResidualBlock_{j}"]["Conv_0"])
    x = torch.relu(x) * (2 if net["yang_init"] else 1)
    return torch.relu(dense(x.flatten(1), p["Dense_0"]))


def original(folder, obs, starts):
    """obs uint8 [T, B, C, H, W], starts bool [T, B] -> logits [T, B, A], values [T, B], carry [(c, h)]."""
    net = json.loads((folder / "cfg.json").read_text())["cfg"]["net"]
    p = tree_of(folder)
    recurrent, (B, _, H, W) = "recurrent" in net, obs.shape[1:]
    zeros = torch.zeros(B, H, W, net["recurrent"]["conv"]["features"]) if recurrent else None
    carry = [(zeros, zeros)] * net["n_recurrent"] if recurrent else []
    logits, values = [], []
    for x, start in zip(obs, starts, strict=True):
        x = x.permute(0, 2, 3, 1) / 255
        keep = (~start)[:, None, None, None]
        carry = [(c * keep, h * keep) for c, h in carry]
        if recurrent:
            hidden, carry = drc(net, p["network_params"], x, carry)
        else:
            hidden = resnet(net, p["network_params"], x)
        logits.append(dense(hidden, p["actor_params"]["Output"]))
        values.append(dense(hidden, p["critic_params"]["Output"])[:, 0] * net["head_scale"])
    return torch.stack(logits), torch.stack(values), carry

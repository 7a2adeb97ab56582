"""A readable one-page DRC: DRC(D, N) of Guez et al. (2019), "An investigation of model-free planning".

It runs on the weights of a `DRCPolicy`, which computes the same results several times as fast: tests compare the two,
and task=policy_speed measures both. Symbols follow the paper:

    x_t           the observation at step t; i_t = e(x_t) is its encoding, which every layer reads at every tick
    D, N          layers d = 1 ... D, each with its own weights; ticks n = 1 ... N of a step, which share the weights
    h_d^n, c_d^n  hidden and cell state of layer d after tick n; n = 0 is the carry from the previous step
    m_d^n         pool-and-inject: a linear mix of the mean and max of h_d^(n-1) over the board, given to every cell
    b             the plane that marks the board's edge

    z     = W_d * [i_t, m_d^n, h_(d-1)^n, b, h_d^(n-1)] + bias_d      * is a convolution
    i,f,o = sigmoid(z_i), sigmoid(z_f), tanh(z_o)
    c_d^n = f . c_d^(n-1) + i . tanh(z_g)                             . is the elementwise product
    h_d^n = o . tanh(c_d^n)
    policy and value = head(h_D^N)

Shapes: B boards of H x W cells; C channels of h, c, m and i_t; A actions. Where the papers differ (Guez et al. 2019,
Taufeeque et al. 2024, Bush et al. 2025), the code follows the switches of `drc_lab.models.wiring`. In Guez et al., for
example, layer 1 also reads layer D's h of the previous tick, and the head also reads i_t.
"""

from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from drc_lab.models.drc import DRCPolicy
from drc_lab.models.drc_cell import ConvLSTMCell
from drc_lab.models.drc_core import State
from drc_lab.models.encoders import SimpleConvEncoder
from drc_lab.models.heads import Head, MeanHead, PerCellHead, PooledHead
from drc_lab.models.pooling import PoolAndInject


def plain_step(
    policy: DRCPolicy, x: Float[Tensor, "B C_in H W"], state: State, N: int
) -> tuple[Float[Tensor, "B A"], Float[Tensor, "B 1"], State]:
    """One step of N ticks: observations x -> logits, value, the new (h, c)."""
    h, c = list(state[0]), list(state[1])  # D x (B, C, H, W) each
    wiring, C, D = policy.stack.wiring, policy.stack.channels, len(policy.stack.cells)
    k = wiring.kernel_size
    i_t = plain_encoder(policy.encoder, x)  # (B, C, H, W)
    b, ring = plain_boundary(x, k)  # (B, 1, H, W); ring is k // 2 cells larger on each side
    for _ in range(N):  # n = 1 ... N
        # Below the first layer is the top layer's h of the previous tick: the paper's top-down skip connection.
        below = h[D - 1] if wiring.top_to_bottom else None
        for d, cell in enumerate(policy.stack.cells):  # h[d] and c[d] belong to tick n - 1 until assigned below
            assert isinstance(cell, ConvLSTMCell)
            W, bias = cell.gates.weight, cell.gates.bias  # (4C, inputs, k, k), (4C)
            inputs = [i_t]  # (B, C, H, W)
            if cell.pool is not None:
                pooled = h[d] if wiring.pool_source == "own" or below is None else below
                inputs.append(plain_pool_and_inject(cell.pool, pooled))  # (B, C, H, W)
            if below is not None:
                inputs.append(below)  # (B, C, H, W)
            if wiring.use_boundary_channel:
                inputs.append(b if wiring.boundary_ring == "edge" else torch.zeros_like(b))  # (B, 1, H, W)
            z = F.conv2d(
                torch.cat([*inputs, h[d]], dim=1), W, bias, padding=k // 2
            )  # (B, inputs, H, W) -> (B, 4C, H, W)
            if wiring.use_boundary_channel and wiring.boundary_ring == "outside":
                at = sum(part.shape[1] for part in inputs) - 1
                z = z + F.conv2d(ring, W[:, at : at + 1])  # (B, 4C, H, W)
            i, f, g, o = z[:, : 4 * C].chunk(4, dim=1)  # 4 x (B, C, H, W)
            o = torch.tanh(o) if wiring.output_gate == "tanh" else torch.sigmoid(o)
            c[d] = torch.sigmoid(f) * c[d] + torch.sigmoid(i) * torch.tanh(g)  # (B, C, H, W)
            h[d] = o * torch.tanh(c[d])  # (B, C, H, W)
            below = h[d] if wiring.residual == "none" or below is None else below + h[d]
        if wiring.residual == "layers_and_carry" and below is not None:
            h[D - 1] = below
    # The paper's head reads both i_t and h_D^N; by default ours reads h_D^N alone.
    read = {"none": lambda: h[-1], "add": lambda: h[-1] + i_t, "concat": lambda: torch.cat([i_t, h[-1]], dim=1)}
    logits, value = plain_head(policy.head, read[policy.encoding_to_head]())
    return logits, value, (h, c)


def plain_unroll(
    policy: DRCPolicy,
    x: Float[Tensor, "T B C_in H W"],
    state: State,
    resets: Bool[Tensor, "T B"],
    N: Sequence[int],
) -> tuple[Float[Tensor, "T B A"], Float[Tensor, "T B 1"], State]:
    """T steps of N[t] ticks: observations x -> logits, values, the last (h, c).

    The carry is zeroed before each step at which ``resets`` marks the start of an episode.
    """
    logits, values = [], []
    for t in range(len(x)):
        keep = (~resets[t])[:, None, None, None].to(x.dtype)  # (B, 1, 1, 1)
        state = [s * keep for s in state[0]], [s * keep for s in state[1]]
        out, value, state = plain_step(policy, x[t], state, N[t])
        logits.append(out)
        values.append(value)
    return torch.stack(logits), torch.stack(values), state


def plain_encoder(encoder: SimpleConvEncoder, x: Float[Tensor, "B C_in H W"]) -> Float[Tensor, "B C H W"]:
    """i_t = e(x_t): convolutions with no ReLU after the last; even kernels pad one cell less before than after."""
    for layer, conv in enumerate(encoder.convs):
        assert isinstance(conv, nn.Conv2d)
        if layer and encoder.relu_between:
            x = torch.relu(x)
        k = conv.kernel_size[0]
        x = F.conv2d(F.pad(x, [(k - 1) // 2, k // 2] * 2), conv.weight, conv.bias)  # (B, C, H, W)
    return x


def plain_boundary(
    x: Float[Tensor, "B C_in H W"], k: int
) -> tuple[Float[Tensor, "B 1 H W"], Float[Tensor, "B 1 H+{k}-1 W+{k}-1"]]:
    """b, ones on the outermost cells; and a ring of ones around the board."""
    B, _, H, W = x.shape
    b = torch.zeros(B, 1, H, W, dtype=x.dtype, device=x.device)
    ring = F.pad(b, [k // 2] * 4, value=1)
    for side in (0, -1):
        b[:, :, side] = 1
        b[..., side] = 1
    return b, ring


def plain_pool_and_inject(pool: PoolAndInject, h: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """m = W_p [mean(h), max(h)], at every cell."""
    B, C, H, W = h.shape
    mean, peak = h.mean((2, 3)), h.amax((2, 3))  # (B, C) each
    if pool.weight is None:
        mixed = mean if pool.projection == "mean" else peak
    elif pool.projection in ("linear", "full"):
        mixed = F.linear(torch.cat([mean, peak], dim=1), pool.weight, pool.bias)  # (B, 2C) x (2C, C) -> (B, C)
    else:
        mixed = pool.weight[0] * mean + pool.weight[1] * peak + (0 if pool.bias is None else pool.bias)
    return mixed.view(B, C, 1, 1).repeat(1, 1, H, W)


def plain_head(head: Head, x: Float[Tensor, "B C H W"]) -> tuple[Float[Tensor, "B A"], Float[Tensor, "B 1"]]:
    """Logits and value, by one hidden layer that both share."""
    if isinstance(head, PerCellHead):
        scores = reduce(torch.add, (x[:, c] * head.attention.weight[0, c] for c in range(x.shape[1])))  # (B, H, W)
        weights = torch.exp(scores)
        weights = (weights / weights.sum((1, 2), keepdim=True))[..., None]  # (B, H, W, 1)
        hidden = torch.relu(F.linear(x.permute(0, 2, 3, 1), head.proj.weight, head.proj.bias))  # (B, H, W, proj_dim)
        return (weights * head.policy(hidden)).sum((1, 2)), (weights * head.value(hidden)).sum((1, 2))
    if isinstance(head, PooledHead):
        x = torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)  # (B, 2C)
    elif isinstance(head, MeanHead):
        x = x.mean((2, 3))  # (B, C)
    hidden = torch.relu(head.proj(x.reshape(len(x), -1)))  # (B, proj_dim)
    return head.policy(hidden), head.value(hidden)

"""The DRC written out plainly, weights borrowed from a DRCPolicy: what the fast path has to equal.

`naive_step` follows the guide section by section, with the published agents' switches where they differ.
"""

import torch
import torch.nn.functional as F

from drc_lab.models.drc import DRCPolicy


def naive_encode(policy: DRCPolicy, obs):
    """[B, C, H, W] -> [B, C_e, H, W]; an even kernel pads one cell less before than after."""
    encoder, x = policy.encoder, obs
    for i, conv in enumerate(encoder.convs):
        if i and encoder.relu_between:
            x = torch.relu(x)
        k = conv.kernel_size[0]
        x = F.conv2d(F.pad(x, [(k - 1) // 2, k // 2] * 2), conv.weight, conv.bias)
    return x


def naive_pooled(pool, h):
    """The mean and max of a map, mixed: [B, C, H, W] -> [B, C, H, W]."""
    B, C, H, W = h.shape
    mean, peak = h.mean((2, 3)), h.amax((2, 3))
    if pool.projection in ("linear", "full"):
        mixed = F.linear(torch.cat([mean, peak], 1), pool.weight, pool.bias)
    elif pool.projection in ("mean", "max"):
        mixed = {"mean": mean, "max": peak}[pool.projection]
    else:
        mixed = pool.weight[0] * mean + pool.weight[1] * peak + (0 if pool.bias is None else pool.bias)
    return mixed.view(B, C, 1, 1).repeat(1, 1, H, W)


def naive_step(policy: DRCPolicy, obs, state, repeats):
    """One step. obs [B, C, H, W] -> logits, value, (h, c)."""
    h, c = list(state[0]), list(state[1])
    B, _, H, W = obs.shape
    wiring, C = policy.stack.wiring, policy.stack.channels
    pad = wiring.kernel_size // 2
    e = naive_encode(policy, obs)
    edge = torch.zeros(B, 1, H, W, dtype=obs.dtype, device=obs.device)
    for side in (0, -1):
        edge[:, :, side] = 1
        edge[..., side] = 1
    for _ in range(repeats):
        below = h[-1] if wiring.top_to_bottom else None
        for i, cell in enumerate(policy.stack.cells):
            inputs = [e]
            if cell.pool is not None:
                inputs.append(naive_pooled(cell.pool, h[i] if wiring.pool_source == "own" else below))
            if below is not None:
                inputs.append(below)
            if wiring.use_boundary_channel:
                inputs.append(edge if wiring.boundary_ring == "edge" else torch.zeros_like(edge))
            z = F.conv2d(torch.cat([*inputs, h[i]], 1), cell.gates.weight, cell.gates.bias, padding=pad)
            if wiring.use_boundary_channel and wiring.boundary_ring == "outside":
                ring = F.pad(torch.zeros_like(edge), [pad] * 4, value=1)
                start = sum(x.shape[1] for x in inputs) - 1
                z = z + F.conv2d(ring, cell.gates.weight[:, start : start + 1])
            zi, zf, zg, zo = z[:, : 4 * C].chunk(4, 1)
            c[i] = torch.sigmoid(zf) * c[i] + torch.sigmoid(zi) * torch.tanh(zg)
            h[i] = (torch.tanh(zo) if wiring.output_gate == "tanh" else torch.sigmoid(zo)) * torch.tanh(c[i])
            below = h[i] if wiring.residual == "none" else below + h[i]
        if wiring.residual == "layers_and_carry":
            h[-1] = below
    top = {"none": lambda: h[-1], "add": lambda: h[-1] + e, "concat": lambda: torch.cat([e, h[-1]], 1)}
    logits, value = naive_head(policy.head, top[policy.encoding_to_head]())
    return logits, value, (h, c)


def naive_head(head, x):
    """[B, C, H, W] -> logits [B, A], value [B, 1]."""
    if type(head).__name__ == "PerCellHead":
        weights = torch.exp(sum(x[:, k] * head.attention.weight[0, k] for k in range(x.shape[1])))  # (B, H, W)
        weights = weights / weights.sum((1, 2), keepdim=True)
        hidden = torch.relu(F.linear(x.permute(0, 2, 3, 1), head.proj.weight, head.proj.bias))
        return tuple((weights[..., None] * part(hidden)).sum((1, 2)) for part in (head.policy, head.value))
    if type(head).__name__ == "PooledHead":
        x = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
    hidden = torch.relu(head.proj(x.reshape(len(x), -1)))
    return head.policy(hidden), head.value(hidden)


def naive_unroll(policy: DRCPolicy, obs, state, resets, repeats):
    """T naive steps, the carry zeroed where an episode starts. Returns logits [T, B, A], values [T, B, 1], carry."""
    logits, values = [], []
    for t in range(len(obs)):
        keep = (~resets[t])[:, None, None, None].to(obs.dtype)
        state = tuple([s * keep for s in part] for part in state)
        out, value, state = naive_step(policy, obs[t], state, repeats[t])
        logits.append(out)
        values.append(value)
    return torch.stack(logits), torch.stack(values), state

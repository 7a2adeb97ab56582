"""The guide's DRC written out plainly, weights borrowed from a DRCPolicy: what the fast path has to equal."""

import torch
import torch.nn.functional as F

from drc_lab.models.drc import DRCPolicy


def naive_step(policy: DRCPolicy, obs, state, repeats):
    """One step of the guide, section by section. obs [B, C, H, W] -> logits, value, (h, c)."""
    h, c = list(state[0]), list(state[1])
    B, _, H, W = obs.shape
    e = policy.encoder(obs)
    edge = torch.zeros(B, 1, H, W, dtype=obs.dtype)
    for y in range(H):
        for x in range(W):
            if y in (0, H - 1) or x in (0, W - 1):
                edge[:, 0, y, x] = 1
    for _ in range(repeats):
        for i, cell in enumerate(policy.stack.cells):
            inputs = [e]
            if cell.pool is not None:
                mean, peak = h[i].mean((2, 3), keepdim=True), h[i].amax((2, 3), keepdim=True)
                mix = cell.pool.weight[:, :, None, None]
                inputs.append(F.conv2d(torch.cat([mean, peak], 1), mix, cell.pool.bias).repeat(1, 1, H, W))
            if i:
                inputs.append(h[i - 1])
            if cell.wiring.use_boundary_channel:
                inputs.append(edge)
            z = F.conv2d(
                torch.cat([*inputs, h[i]], 1), cell.gates.weight, cell.gates.bias, padding=cell.wiring.kernel_size // 2
            )
            zi, zf, zg, zo = z.chunk(4, 1)
            c[i] = torch.sigmoid(zf) * c[i] + torch.sigmoid(zi) * torch.tanh(zg)
            h[i] = torch.tanh(zo) * torch.tanh(c[i])
    top = h[-1] + e if policy.encoding_to_head == "add" else h[-1]
    hidden = torch.relu(policy.head.proj(top.reshape(B, -1)))
    return policy.head.policy(hidden), policy.head.value(hidden), (h, c)


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

"""One layer of the DRC: a ConvLSTM cell with pool-and-inject."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from drc_lab.models.init import init_conv
from drc_lab.models.pooling import PoolAndInject
from drc_lab.models.spatial import boundary_channel, tap_kinds
from drc_lab.models.taps import Taps, tapped
from drc_lab.models.wiring import Wiring

GUIDE = Wiring()


class ConvLSTMCell(nn.Module):
    """One ConvLSTM layer: a single gate convolution over [e, pooled, below, boundary, own h].

    Gates are in the order i, f, g, o; i and f are sigmoids, g is a tanh, and o a tanh (guide 2.2) or a sigmoid,
    depending on ``wiring.output_gate``. "below" is the hidden state of the layer below (or a sum, see
    ``wiring.residual``); for the first layer it is the top layer's of the previous tick, or nothing. The weights of
    the published agents name the gates differently: our i is their j, our g is their i.

    Args:
        channels: C, channels of the hidden state, the cell state and the encoding.
        has_below: whether the layer reads a map from below.
        wiring: see `drc_lab.models.wiring`.
    """

    def __init__(self, channels: int, has_below: bool, wiring: Wiring = GUIDE):
        super().__init__()
        C = channels
        self.channels, self.wiring = C, wiring
        self.parts = {
            "e": C,
            "pooled": C * wiring.pool_and_inject,
            "below": C * has_below,
            "boundary": int(wiring.use_boundary_channel),
            "own": C,
        }
        self.pool = PoolAndInject(C, wiring.pool_projection, wiring.conv_init) if wiring.pool_and_inject else None
        k = wiring.kernel_size
        self.gates = nn.Conv2d(sum(self.parts.values()), (4 + wiring.unused_gate) * C, k, padding=k // 2)
        init_conv(self.gates, wiring.conv_init, self._published_convs())
        with torch.no_grad():
            self.gates.get_parameter("bias")[C : 2 * C] += wiring.forget_bias

    def _published_convs(self) -> tuple[int, ...]:
        """Input channels of the three separate convolutions that the published code has instead of this one.

        The "lecun" initialisation scales by their fan-ins.
        """
        parts = self.parts
        return parts["e"] + parts["pooled"] + parts["below"], parts["boundary"], parts["own"]

    def split_gates(self) -> tuple[dict[str, Float[Tensor, "C4 D k k"]], Float[Tensor, "C4"]]:
        """The gate weights split by the D channels of each input that they read, and the bias."""
        weight, bias = (p[: 4 * self.channels] for p in (self.gates.weight, self.gates.get_parameter("bias")))
        return dict(zip(self.parts, weight.split(list(self.parts.values()), dim=1), strict=True)), bias

    def boundary_drive(self, height: int, width: int) -> Float[Tensor, "1 C4 {height} {width}"]:
        """The contribution of the boundary plane to the pre-activations."""
        weight, k = self.split_gates()[0]["boundary"], self.wiring.kernel_size
        outside = self.wiring.boundary_ring == "outside"
        grow = k - 1 if outside else 0
        ring = boundary_channel(height + grow, width + grow, weight.device, weight.dtype)
        return F.conv2d(ring, weight, padding=0 if outside else k // 2)

    def forward(
        self,
        e: Float[Tensor, "B C H W"],
        below: Float[Tensor, "B C H W"] | None,
        h: Float[Tensor, "B C H W"],
        c: Float[Tensor, "B C H W"],
        taps: Taps | None = None,
        layer: int = 0,
    ) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, "B C H W"]]:
        """Runs one tick of this layer in the guide's plain formulation, and returns the new (h, c).

        This is what exports, taps and wirings without a fused loop run; everything else runs in `drc_lab.models.ticks`.
        """
        inputs = {"e": e, "below": below, "own": h}
        if self.pool is not None:
            pooled = self.pool(h if self.wiring.pool_source == "own" else below)
            inputs["pooled"] = tapped(taps, "pooled", pooled, layer)
        seen = {name: x for name, x in inputs.items() if x is not None}
        weights, bias = self.split_gates()
        weight = torch.cat([weights[name] for name in seen], dim=1)
        z = F.conv2d(torch.cat(list(seen.values()), dim=1), weight, bias, padding=self.wiring.kernel_size // 2)
        if self.wiring.use_boundary_channel:
            z = z + self.boundary_drive(*h.shape[2:])
        i, f, g, o = tapped(taps, "pre", z, layer).chunk(4, dim=1)  # (B, 4C, H, W) -> 4 x (B, C, H, W)
        i, f, g = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g)
        o = torch.tanh(o) if self.wiring.output_gate == "tanh" else torch.sigmoid(o)
        i, f, g, o = (tapped(taps, *gate, layer) for gate in (("i", i), ("f", f), ("g", g), ("o", o)))
        c = tapped(taps, "c", f * c + i * g, layer)
        return tapped(taps, "h", o * torch.tanh(c), layer), c

    def hoist(self, height: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """This layer's weights in the form that the tick loop uses, see `TickWeights`: drive, base, recurrent, inject.

        Everything that does not depend on observations or carry (biases, boundary plane) is added up in base.
        """
        C = self.channels
        weights, bias = self.split_gates()
        base = bias.expand(height * width, -1)  # (P, 4C)
        if self.wiring.use_boundary_channel:
            base = base + self.boundary_drive(height, width)[0].flatten(1).t()
        inject = bias.new_empty(0)
        if self.pool is not None:
            # Pool-and-inject gives spatially constant planes. Convolving one amounts to summing, for each kind of
            # cell, the weights of the taps that fall inside the board.
            inside, kind = tap_kinds(height, width, self.wiring.kernel_size, bias.device)
            taps = torch.einsum("kt,oct->koc", inside.to(bias.dtype), weights["pooled"].flatten(2)).flatten(0, 1)
            inject = taps @ self.pool.matrix(bias).to(bias)  # (K*4C, C) x (C, 2C) -> (K*4C, 2C)
            if self.pool.bias is not None:
                base = base + (taps @ self.pool.bias).view(-1, 4 * C)[kind]
        return weights["e"], base, torch.cat([weights["below"], weights["own"]], dim=1), inject

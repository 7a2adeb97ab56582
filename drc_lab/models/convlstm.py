"""A plain ConvLSTM policy (Shi et al. 2015, arXiv:1506.04214, without peepholes): the DRC without its additions."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from drc_lab.arguments import takes
from drc_lab.models.drc_core import State
from drc_lab.models.encoders import SimpleConvEncoder
from drc_lab.models.grid import RecurrentGridPolicy
from drc_lab.models.init import init_conv
from drc_lab.models.policy import Device, DType
from drc_lab.models.specs import ConvLSTMSpec


class ConvLSTMPolicy(RecurrentGridPolicy):
    """An encoder with ReLUs, L ConvLSTM layers that run for R ticks per step, and a head (by default a mean head).

    Layer 1 reads the encoding, layer l the new hidden state of layer l - 1. Unlike in the DRC, the upper layers do not
    read the encoding, and there is no pool-and-inject and no boundary channel. Gates are in the order i, f, g, o; i, f
    and o are sigmoids, g is a tanh.

    See `ConvLSTMSpec` for the arguments.
    """

    @takes(ConvLSTMSpec)
    def __init__(self, spec: ConvLSTMSpec):
        super().__init__(spec.obs_shape, spec.num_actions)
        C = self.hidden_channels = spec.hidden_channels
        self.repeats_per_step = spec.repeats_per_step
        self.encoder = SimpleConvEncoder(self.obs_shape[0], C, conv_init=spec.conv_init, relu_between=True)
        # Each layer has one convolution over [input, own h], except that the first layer's is split into `drive` and
        # `gates[0]`: its input, the encoding, is the same at all ticks of a step, so `drive` runs once per step.
        self.drive = nn.Conv2d(C, 4 * C, kernel_size=3, padding=1)
        self.gates = nn.ModuleList(
            nn.Conv2d(2 * C if layer else C, 4 * C, kernel_size=3, padding=1, bias=layer > 0)
            for layer in range(spec.num_layers)
        )
        for conv in (self.drive, *self.gates):
            assert isinstance(conv, nn.Conv2d)
            init_conv(conv, spec.conv_init)
            if conv.bias is not None:
                nn.init.constant_(conv.bias[C : 2 * C], spec.forget_bias)
        self.attach_head(spec, (C, *self.obs_shape[1:]))

    def init_state(
        self, batch: int, H: int | None = None, W: int | None = None, device: Device = None, dtype: DType = None
    ) -> State:
        """Zeros: (h_list, c_list), each of L tensors [B, C, H, W]."""
        shape = (batch, self.hidden_channels, H or self.obs_shape[1], W or self.obs_shape[2])
        h, c = ([torch.zeros(shape, device=device, dtype=dtype) for _ in self.gates] for _ in range(2))
        return h, c

    def encode(self, x: Float[Tensor, "N C_in H W"]) -> Float[Tensor, "N {4*self.hidden_channels} H W"]:
        """The encoding's part of the first layer's pre-activations, which is the same at all ticks of a step."""
        return self.drive(torch.relu(self.encoder(x)))

    def tick(self, e: Float[Tensor, "B {4*self.hidden_channels} H W"], state: State) -> State:
        h, c = list(state[0]), list(state[1])
        for layer, gates in enumerate(self.gates):
            z = gates(torch.cat(h[layer - 1 : layer + 1], dim=1)) if layer else e + gates(h[0])  # (B, 4C, H, W)
            i, f, g, o = self.tapped("pre", z, layer).chunk(4, dim=1)  # 4 x (B, C, H, W)
            i, f, g, o = torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
            i, f, g, o = (self.tapped(*gate, layer) for gate in (("i", i), ("f", f), ("g", g), ("o", o)))
            c[layer] = self.tapped("c", f * c[layer] + i * g, layer)
            h[layer] = self.tapped("h", o * torch.tanh(c[layer]), layer)
        return h, c

    def read(self, state: State, e: Float[Tensor, "B {4*self.hidden_channels} H W"]) -> Float[Tensor, "B C H W"]:
        return state[0][-1]

"""A looped transformer over the cells of a board: a modern alternative to the DRC, also with a carry and ticks.

The same few blocks run at every tick (Dehghani et al. 2018, arXiv:1807.03819). At each tick the encoded observation is
added again and the state is normalised; without this, such loops forget their input or diverge (Geiping et al. 2025,
arXiv:2502.05171). Positions are encoded by zero-padded convolutions, which detect the board's edge and so work on
boards of any size (Chu et al. 2021, arXiv:2102.10882).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from drc_lab.arguments import takes
from drc_lab.models.encoders import SimpleConvEncoder
from drc_lab.models.grid import RecurrentGridPolicy
from drc_lab.models.init import init_conv_weight, init_linear
from drc_lab.models.policy import Device, DType
from drc_lab.models.specs import TransformerSpec


class Block(nn.Module):
    """A depthwise 3 x 3 convolution, attention over all cells, and an MLP, each with a residual connection.

    Attention and MLP normalise their input (pre-norm).

    Args:
        channels: D.
        num_heads: number of attention heads; a divisor of D.
        mlp_ratio: hidden width of the MLP, as a multiple of D.
    """

    def __init__(self, channels: int, num_heads: int, mlp_ratio: int):
        super().__init__()
        D = channels
        self.num_heads = num_heads
        self.position = nn.Conv2d(D, D, kernel_size=3, padding=1, groups=D, bias=False)
        init_conv_weight(self.position.weight, "lecun")
        self.norm_attention, self.norm_mlp = nn.LayerNorm(D), nn.LayerNorm(D)
        self.qkv, self.attention_out = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.mlp_in, self.mlp_out = nn.Linear(D, mlp_ratio * D), nn.Linear(mlp_ratio * D, D)
        for reads in (self.qkv, self.mlp_in):
            init_linear(reads, "lecun", "")
        for adds in (self.attention_out, self.mlp_out):
            init_linear(adds, "small", "")  # so a block starts close to the identity, however often it is repeated

    def forward(self, x: Float[Tensor, "B P D"], height: int, width: int) -> Float[Tensor, "B P D"]:
        """Runs the block on P = height * width cells."""
        board = x.unflatten(1, (height, width)).permute(0, 3, 1, 2)  # (B, D, H, W), channels-last without a copy
        x = x + self.position(board).permute(0, 2, 3, 1).flatten(1, 2)  # (B, P, D)
        qkv = self.qkv(self.norm_attention(x)).unflatten(2, (3, self.num_heads, -1))  # (B, P, 3, heads, D/heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # 3 x (B, heads, P, D/heads)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # (B, P, D)
        x = x + self.attention_out(seen)
        return x + self.mlp_out(F.gelu(self.mlp_in(self.norm_mlp(x))))


class LoopedTransformerPolicy(RecurrentGridPolicy):
    """A convolutional encoder, ``num_layers`` blocks that run for R ticks per step, and a head.

    A tick is h = norm(blocks(mix(h) + e)), where h [B, P, D] is the carry, zeros at the start of an episode, and e is
    the encoding.

    See `TransformerSpec` for the arguments.
    """

    @takes(TransformerSpec)
    def __init__(self, spec: TransformerSpec):
        super().__init__(spec.obs_shape, spec.num_actions)
        D = self.hidden_channels = spec.hidden_channels
        self.repeats_per_step = spec.repeats_per_step
        self.encoder = SimpleConvEncoder(self.obs_shape[0], D, conv_init=spec.conv_init, relu_between=True)
        self.mix = nn.Linear(D, D)
        init_linear(self.mix, "lecun", "")
        self.blocks = nn.ModuleList(Block(D, spec.num_heads, spec.mlp_ratio) for _ in range(spec.num_layers))
        self.norm = nn.LayerNorm(D)
        self.attach_head(spec, (D, *self.obs_shape[1:]))

    def init_state(
        self, batch: int, H: int | None = None, W: int | None = None, device: Device = None, dtype: DType = None
    ) -> Float[Tensor, "B P D"]:
        """Zeros [B, P, D], with P = H * W cells."""
        cells = (H or self.obs_shape[1]) * (W or self.obs_shape[2])
        return torch.zeros(batch, cells, self.hidden_channels, device=device, dtype=dtype)

    def encode(self, x: Float[Tensor, "N C_in H W"]) -> Float[Tensor, "N D H W"]:
        return self.encoder(x)

    def tick(self, e: Float[Tensor, "B D H W"], state: Float[Tensor, "B P D"]) -> Float[Tensor, "B P D"]:
        x = self.mix(state) + e.flatten(2).transpose(1, 2)  # (B, P, D)
        for layer, block in enumerate(self.blocks):
            x = self._shown("stream", block(x, *e.shape[2:]), e, layer)
        return self._shown("h", self.norm(x).to(state.dtype), e, len(self.blocks) - 1)  # autocast changes x's dtype

    def _shown(self, what: str, x: Tensor, e: Tensor, layer: int) -> Tensor:
        """Passes x [B, P, D] through the taps as a map [B, D, H, W], and returns the result as [B, P, D]."""
        if self.taps is None:
            return x
        board = self.tapped(what, x.transpose(1, 2).unflatten(2, e.shape[2:]), layer)
        return board.flatten(2).transpose(1, 2)

    def read(self, state: Float[Tensor, "B P D"], e: Float[Tensor, "B D H W"]) -> Float[Tensor, "B D H W"]:
        return state.transpose(1, 2).unflatten(2, e.shape[2:])

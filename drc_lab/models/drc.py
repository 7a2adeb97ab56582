"""The Deep Repeating ConvLSTM policy (guide of the seeds; Guez et al. 2019, Taufeeque et al. 2024)."""

import torch
from torch import Tensor

from drc_lab.errors import ConfigError
from drc_lab.models.drc_core import DRCStack, State
from drc_lab.models.encoders import SimpleConvEncoder
from drc_lab.models.heads import ActorCriticHead
from drc_lab.models.policy import Policy, PolicyValue, Repeats, as_floats
from drc_lab.models.spatial import check_obs_shape


class DRCPolicy(Policy):
    """Encoder of two plain convolutions, L ConvLSTM layers run for R ticks a step, flatten head.

    Everything but the head works on any height and width.

    Args:
        obs_shape: (C_in, H, W).
        num_actions: |A|.
        hidden_channels: C, of the encoding, the hidden and the cell states.
        num_layers: L.
        repeats_per_step: R, the default number of ticks for each observation.
        kernel_size: odd, of all convolutions.
        pool_and_inject: whether each layer sees the mixed mean and max of its own previous hidden state.
        use_boundary_channel: whether each layer sees a plane of ones on the outermost cells.
        proj_dim: width of the head's shared layer.
        encoding_to_head: whether the head reads the top hidden state plus the encoding, as in the published agents
            (Taufeeque et al. 2024), instead of the top hidden state alone.
        conv_init, proj_init, head_init: how weights start, see `drc_lab.models.init`.

    Raises:
        ConfigError: a size that cannot work.
    """

    def __init__(
        self,
        obs_shape: tuple[int, int, int],
        num_actions: int,
        hidden_channels: int = 32,
        num_layers: int = 3,
        repeats_per_step: int = 3,
        kernel_size: int = 3,
        pool_and_inject: bool = True,
        use_boundary_channel: bool = True,
        proj_dim: int = 256,
        encoding_to_head: bool = False,
        conv_init: str = "kaiming",
        proj_init: str = "small",
        head_init: str = "small",
    ):
        super().__init__()
        at_least_one = {
            "num_actions": num_actions,
            "hidden_channels": hidden_channels,
            "num_layers": num_layers,
            "repeats_per_step": repeats_per_step,
            "proj_dim": proj_dim,
        }
        for key, found in at_least_one.items():
            if found < 1:
                raise ConfigError(key, found, "at least 1")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ConfigError("kernel_size", kernel_size, "an odd number, so that the board keeps its size")
        channels, height, width = check_obs_shape(obs_shape)
        self.obs_shape = (channels, height, width)
        self.num_actions = num_actions
        self.repeats_per_step = repeats_per_step
        self.encoding_to_head = encoding_to_head
        C = hidden_channels
        self.encoder = SimpleConvEncoder(channels, C, kernel_size, conv_init)
        self.stack = DRCStack(C, num_layers, kernel_size, pool_and_inject, use_boundary_channel, conv_init)
        self.head = ActorCriticHead((C, height, width), num_actions, proj_dim, proj_init, head_init)

    def init_state(self, batch: int, H: int | None = None, W: int | None = None, device=None, dtype=None) -> State:
        """Zeros: (h_list, c_list), each of L tensors [B, C, H, W]."""
        return self.stack.init_state(batch, H or self.obs_shape[1], W or self.obs_shape[2], device, dtype)

    def unroll(self, obs: Tensor, state: State, resets: Tensor, repeats: Repeats = None) -> tuple[PolicyValue, State]:
        T, B = obs.shape[:2]
        x = as_floats(obs.flatten(0, 1), self.head.proj.weight.dtype)  # (T*B, C_in, H, W)
        e = self.encoder(x.contiguous(memory_format=torch.channels_last))  # (T*B, C, H, W)
        h_top, state = self.stack(e.unflatten(0, (T, B)), state, resets, self.repeats_of(repeats, T))
        hidden = h_top.flatten(0, 1)  # (T*B, C, H, W)
        logits, value = self.head(hidden + e if self.encoding_to_head else hidden)  # (T*B, A), (T*B, 1)
        return PolicyValue(logits.unflatten(0, (T, B)), value.unflatten(0, (T, B))), state

"""From the top layer's hidden state to policy logits and value."""

import torch
from torch import Tensor, nn

from drc_lab.errors import ConfigError
from drc_lab.models.init import init_linear


class ActorCriticHead(nn.Module):
    """Flatten (C, H, W) -> linear ``proj_dim`` -> ReLU -> policy logits and value (guide 3). Fixed to one board size.

    Args:
        shape: (C, H, W) of the hidden state.
        num_actions: |A|.
        proj_dim: width of the shared layer.
        proj_init, head_init: see `drc_lab.models.init`, for the shared layer and for the two outputs.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        num_actions: int,
        proj_dim: int = 256,
        proj_init: str = "small",
        head_init: str = "small",
    ):
        super().__init__()
        channels, height, width = shape
        self.shape = shape
        self.proj = nn.Linear(channels * height * width, proj_dim)
        self.policy = nn.Linear(proj_dim, num_actions)
        self.value = nn.Linear(proj_dim, 1)
        init_linear(self.proj, proj_init, "proj_init")
        for head in (self.policy, self.value):
            init_linear(head, head_init, "head_init")

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """[N, C, H, W] -> logits [N, A], value [N, 1]."""
        if tuple(hidden.shape[1:]) != self.shape:
            raise ConfigError(
                "board size", tuple(hidden.shape[2:]), f"{self.shape[1:]}, which this flatten head was built for"
            )
        features = torch.relu(self.proj(hidden.flatten(1)))  # (N, C*H*W) -> (N, proj_dim)
        return self.policy(features), self.value(features)

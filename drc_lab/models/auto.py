"""Chooses a policy to start with from the shape of the observations."""

from drc_lab.models.cnn import SmallCNNPolicy
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.mlp import MLPPolicy
from drc_lab.models.policy import Policy
from drc_lab.models.specs import AutoSpec


def choose_policy(
    obs_shape: tuple[int, ...], num_actions: int, smallest_board: int = 5, largest_board: int = 16
) -> Policy:
    """Builds a policy that suits observations of this shape; ``policy.note`` says which one and why.

    - Vectors, and boards with a side shorter than ``smallest_board``: `MLPPolicy`, which sees everything at once.
    - Boards with sides of up to ``largest_board``: `DRCPolicy`.
    - Larger boards: `SmallCNNPolicy`, because the cost of each tick of a DRC grows with the area, and so does its
      flatten head. The CNN has the pool head, with which training takes off sooner than with the mean alone. Its
      stride is 2 if a side exceeds twice ``largest_board``, because such observations are taken for images.

    All other arguments keep their defaults. The choice depends only on the arguments, which a checkpoint stores.

    Args:
        obs_shape: (F,) or (C, H, W).
        num_actions: |A|.
        smallest_board, largest_board: range of side lengths, in cells, for which a DRC is chosen.

    Raises:
        ConfigError: ``smallest_board`` is below 1 or above ``largest_board``.
    """
    AutoSpec(obs_shape, num_actions, smallest_board, largest_board)  # checks the arguments
    policy: Policy
    if len(obs_shape) != 3:
        policy, reason = MLPPolicy(obs_shape, num_actions), "for vectors"
    else:
        channels, height, width = obs_shape
        shape, size = (channels, height, width), f"for {height}x{width}"
        if min(height, width) < smallest_board:
            policy, reason = MLPPolicy(shape, num_actions), f"{size}, less than {smallest_board} cells a side"
        elif max(height, width) <= largest_board:
            policy, reason = DRCPolicy(shape, num_actions), f"{size}, a board of at most {largest_board} cells a side"
        else:
            pictures = max(height, width) > 2 * largest_board
            policy = SmallCNNPolicy(shape, num_actions, stride=2 if pictures else 1, head="pool")
            reason = f"{size}: a DRC costs too much beyond {largest_board} cells a side"
    policy.note = f"policy=auto chose {type(policy).__name__} {reason}"
    return policy

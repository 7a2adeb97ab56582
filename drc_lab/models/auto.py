"""A policy to begin with, chosen by what the observations look like."""

from drc_lab.models.cnn import SmallCNNPolicy
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.mlp import MLPPolicy
from drc_lab.models.policy import Policy
from drc_lab.models.specs import AutoSpec


def choose_policy(
    obs_shape: tuple[int, ...], num_actions: int, smallest_board: int = 5, largest_board: int = 16
) -> Policy:
    """The policy that fits observations of this shape; ``policy.note`` says which and why.

    Vectors, and boards with a side shorter than ``smallest_board``: `MLPPolicy`, which sees all at once. Boards up to
    ``largest_board`` a side: `DRCPolicy`. Beyond, `SmallCNNPolicy`: the cost of a DRC grows with the area, at every
    tick, and so does its flatten head. The CNN takes strides where more than twice that side says that these are
    pictures, and the pool head, which gets off the ground sooner than the mean alone. All else is at its defaults.

    The choice depends on the arguments alone, all of which a checkpoint holds.

    Args:
        obs_shape: (F,) or (C, H, W).
        num_actions: |A|.
        smallest_board, largest_board: of a DRC, in cells a side.

    Raises:
        ConfigError: bounds that leave nothing between them.
    """
    AutoSpec(obs_shape, num_actions, smallest_board, largest_board)  # checks them
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

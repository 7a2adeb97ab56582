"""Sokoban levels for a policy of 5x5 maps."""

from drc_lab.envs.sokoban import SokobanVectorEnv


def make_env(num_envs=60, num_levels=None, split="test", longest=8, **settings):
    """A batch of levels of one box that have solutions of ``longest`` steps at most, which is the step limit, too."""
    return SokobanVectorEnv(
        num_envs=num_envs,
        height=7,
        width=7,
        num_boxes=1,
        max_steps=longest,
        max_optimal=longest,
        observation="planes",
        crop_border=True,
        autoreset=False,
        split=split,
        num_levels=num_levels or num_envs,
        **settings,
    )

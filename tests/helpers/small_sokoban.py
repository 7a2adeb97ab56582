"""Sokoban levels for a policy of 5x5 maps."""

from drc_lab.envs.sokoban import SokobanVectorEnv


def make_env(num_envs=60, **settings):
    return SokobanVectorEnv(
        num_envs=num_envs,
        height=7,
        width=7,
        num_boxes=1,
        max_steps=8,
        max_optimal=8,
        observation="planes",
        crop_border=True,
        autoreset=False,
        split="test",
        num_levels=num_envs,
        **settings,
    )

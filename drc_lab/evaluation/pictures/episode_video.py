"""Draws the frames of whole episodes that a policy plays."""

from typing import Any

import numpy as np
from jaxtyping import UInt8

from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.evaluation.pictures.video import caption
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.evaluation.play.replay import is_over
from drc_lab.evaluation.watchers.watcher import Envs, Observations, Watcher
from drc_lab.models.policy import Policy


def record(policy: Policy, env: LevelVectorEnv, cell_size: int, hold: int = 4) -> list[UInt8[np.ndarray, "H W 3"]]:
    """Plays the first episode of every env greedily and draws its frames.

    Args:
        policy: any policy.
        env: without autoreset.
        cell_size: size of a cell in pixels.
        hold: number of times that the last frame of an episode is shown.

    Returns:
        frames, one episode after the other.
    """
    episodes: list[list[UInt8[np.ndarray, "H W 3"]]] = [[] for _ in range(env.num_envs)]

    class Pictures(Watcher):
        def seen(self, envs: Envs, obs: Observations, info: dict[str, Any]) -> None:
            for i in envs.tolist():
                over = is_over(env, info, i)
                text = f"level {info['level'][i]}   {progress(info, i, int(env.limit[i]), over)}"
                episodes[i] += [caption(env.batch.picture(i, cell_size), text)] * (hold if over else 1)

    evaluate(policy, env, watchers=[Pictures()])
    return [frame for frames in episodes for frame in frames]


def progress(info: dict[str, Any], env: int, limit: int, over: bool) -> str:
    """The progress or the outcome of an episode, for the narrow line below a picture."""
    steps = int(info["length"][env])
    if not over:
        return f"{steps}/{limit}"
    return f"{'solved' if info['solved'][env] else 'not solved'} in {steps} step{'s' * (steps != 1)}"

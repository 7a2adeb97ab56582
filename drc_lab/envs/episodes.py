"""Counts the steps of a batch's episodes, compiled. Arrays are [B] and are changed in place."""

import numpy as np

from drc_lab.envs.batch import SKIP
from drc_lab.envs.levels import mix64
from drc_lab.numerics import jit


@jit
def in_range(actions, count):
    """Whether all of actions (int64 [B]) are 0 to count - 1."""
    outside = 0
    for action in actions:
        outside += action < 0 or action >= count
    return outside == 0


@jit
def end_episodes(actions, reward, solved, limit, length, total, terminated, truncated):
    """Counts the step and marks the episodes that it ended. Returns how many it ended."""
    ended = 0
    for b in range(len(reward)):
        length[b] += actions[b] != SKIP
        total[b] += reward[b]
        terminated[b] = solved[b]
        truncated[b] = length[b] >= limit[b] and not solved[b]
        ended += terminated[b] or truncated[b]
    return ended


@jit
def skip_thinks(actions, think, free, thinks, length):
    """Counts the think actions and replaces each by SKIP. Those beyond the free ones also count as steps."""
    for b in range(len(actions)):
        if actions[b] == think:
            actions[b] = SKIP
            thinks[b] += 1
            length[b] += thinks[b] > free


@jit
def begin_episodes(envs, first, seed, low, high, limit, length, total):
    """Starts episodes ``first``, ``first + 1``, ... on the boards ``envs``.

    The step limit of an episode depends on ``seed`` and its number alone.
    """
    for i in range(len(envs)):
        b, number = envs[i], np.uint64(first + i)
        limit[b] = low
        if high > low:
            limit[b] = low + np.int64(mix64(mix64(np.uint64(seed)) + number) % np.uint64(high - low + 1))
        length[b] = 0
        total[b] = 0

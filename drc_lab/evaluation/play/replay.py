"""Replays chosen levels with watchers, for example to draw pictures."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Int64

from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.streams import FixedLevels
from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.evaluation.play.sweep import batches
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.evaluation.watchers.watcher import Watcher
from drc_lab.models.policy import Policy

NewWatcher = Callable[[Int64[np.ndarray, "n"]], Watcher]  # level numbers of a batch's envs -> the watcher of that batch


def can_replay(env: BatchEnv) -> bool:
    """Whether an env has numbered levels and can draw them, as registered games with fixed levels do."""
    return isinstance(env, LevelVectorEnv) and isinstance(env.levels, FixedLevels)


@contextmanager
def dealing(env: LevelVectorEnv, levels: Int64[np.ndarray, "n"]) -> Iterator[None]:
    """Context in which the env deals only these levels, in this order, renumbered 0, 1, ..."""
    stream = env.levels
    assert isinstance(stream, FixedLevels)
    picked, rows = stream.levels.pick(levels)
    env.levels = FixedLevels(picked[rows], "sequential")
    try:
        yield
    finally:
        env.levels = stream


def replay(
    policy: Policy, env: LevelVectorEnv, levels: Sequence[int], watcher: NewWatcher, thinking: Thinking | None = None
) -> None:
    """Plays levels again, greedily.

    Args:
        policy, thinking: see `evaluate`.
        env: an env for which `can_replay` is true, without autoreset.
        levels: their numbers in that env, int64 [n].
        watcher: called for each batch of levels to make its watcher, which sees them as envs 0, 1, ...
    """
    numbers = np.asarray(levels, np.int64)
    for batch in batches(len(numbers), env.num_envs):
        chosen = numbers[batch.start : batch.stop]
        with dealing(env, chosen):
            evaluate(policy, env, thinking, watchers=[watcher(chosen)], levels=range(len(chosen)))


def is_over(env: LevelVectorEnv, info: dict[str, Any], i: int) -> bool:
    """Whether the episode of env i has ended."""
    return bool(info["solved"][i] or info["length"][i] >= env.limit[i])

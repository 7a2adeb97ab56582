"""The fewest remaining steps of every position of a level, worked out once, backwards from where it is solved."""

from abc import ABC, abstractmethod

import numpy as np

from drc_lab.envs.search import in_threads

MOST_STEPS = np.iinfo(np.int16).max


class Distances(ABC):
    """Tables of the levels that some boards of a game have. They depend on the level alone, not on where it is played
    from, and are nothing where there are too many positions to tell apart.

    Args:
        num_envs: boards.
        max_positions: of a table.

    Attributes:
        steps: int16 [B, S], of each board's positions, -1 where there is no solution.
    """

    def __init__(self, num_envs: int, max_positions: int):
        self.max_positions = max_positions
        self.steps = np.zeros((num_envs, 0), np.int16)

    def fill(self, envs: np.ndarray, threads: int = 1) -> np.ndarray:
        """Makes the tables of the levels that some boards (int64 [n]) have now.

        Returns:
            bool [n]: whether there is one.
        """
        made = list(in_threads(self.table, envs.tolist(), threads))
        longest = max((len(steps) for steps in made), default=0)
        if longest > self.steps.shape[1]:
            before, self.steps = self.steps, np.zeros((len(self.steps), longest + longest // 2), np.int16)
            self.steps[:, : before.shape[1]] = before
        for env, steps in zip(envs, made, strict=True):
            self.steps[env, : len(steps)] = steps
        return np.array([len(steps) > 0 for steps in made], bool)

    @abstractmethod
    def table(self, env: int) -> np.ndarray:
        """int16 [positions]: a row of ``steps``; empty where there are too many. Several are made at a time."""

    @abstractmethod
    def look_up(self, envs: np.ndarray) -> np.ndarray:
        """int64 [n]: the fewest steps that solve some boards as they are now, 0 where they are solved, or UNSOLVABLE
        (see `drc_lab.envs.search`). All of them have a table."""

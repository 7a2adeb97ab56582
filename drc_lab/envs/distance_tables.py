"""Tables of the fewest remaining steps of every position of a level, computed backwards from the solved positions."""

from abc import ABC, abstractmethod

import numpy as np

from drc_lab.envs.search import in_threads

MOST_STEPS = np.iinfo(np.int16).max


class DistanceTables(ABC):
    """Distance tables of the levels on the boards of a batch.

    A table depends on the level alone, not on the current position of its board. A level with too many positions has
    no table.

    Args:
        num_envs: number of boards.
        max_positions: the most positions of a level that gets a table.

    Attributes:
        steps: int16 [B, S], the fewest remaining steps of each position, -1 where there is no solution.
    """

    def __init__(self, num_envs: int, max_positions: int):
        self.max_positions = max_positions
        self.steps = np.zeros((num_envs, 0), np.int16)

    def fill(self, envs: np.ndarray, threads: int = 1) -> np.ndarray:
        """Computes the tables of the current levels of some boards (int64 [n]).

        Returns:
            bool [n]: whether the board has a table.
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
        """int16 [positions]: one board's row of ``steps``; empty if there are too many positions. Runs in threads."""

    @abstractmethod
    def look_up(self, envs: np.ndarray) -> np.ndarray:
        """int64 [n]: the fewest steps that solve some boards from their current positions, or UNSOLVABLE.

        It is 0 where a board is solved; for UNSOLVABLE see `drc_lab.envs.search`. All of the boards must have a table.
        """

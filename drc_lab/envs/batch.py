"""What a game provides to the batch env: arrays for B boards, and a compiled step that updates them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from drc_lab.envs.distances import Distances
from drc_lab.memory import check_memory

NOOP = "no-op"  # name of the no-op, which is a game's last action if it has one
STANDS = -1  # in place of an action: the board does not change, and nothing is counted
COPIES = 3  # of the observations that are in memory at once during a step


class Batch(ABC):
    """The dynamics of B boards of one game. Arrays are written in place and stay the same objects.

    Attributes:
        observation: [B, ...].
        observation_space: of one board.
        reward: float64 [B], of the last step.
        solved: bool [B], after the last step.
        optimal: int64 [B], the fewest steps that solve each board's level from its start, -1 if unknown.
        action_names: one for each action.
        STATE: names of the arrays that the boards' future depends on.
    """

    observation: np.ndarray
    observation_space: gym.spaces.Box
    reward: np.ndarray
    solved: np.ndarray
    optimal: np.ndarray
    action_names: tuple[str, ...]
    STATE: ClassVar[tuple[str, ...]]

    @abstractmethod
    def load(self, envs: np.ndarray, levels: Any, rows: np.ndarray) -> None:
        """Puts level ``rows[i]`` of the set ``levels`` into board ``envs[i]`` (both int64 [n])."""

    @abstractmethod
    def step(self, actions: np.ndarray) -> None:
        """Steps all boards. actions: int64 [B], each a valid action, or STANDS, which gives no reward."""

    @abstractmethod
    def observe(self, envs: np.ndarray) -> None:
        """Rewrites the whole observation of the boards ``envs`` (int64 [n])."""

    @abstractmethod
    def action_masks(self) -> np.ndarray:
        """bool [B, A]: which actions would change anything; the no-op is always allowed."""

    @abstractmethod
    def sizes(self) -> np.ndarray:
        """int64 [B, 2]: height and width of each board's level, without the padding to the batch's size."""

    @abstractmethod
    def remaining(self, envs: np.ndarray, max_states: int, threads: int = 1) -> np.ndarray:
        """The fewest steps that solve some boards from their current positions, by the exact solver.

        Args:
            envs: int64 [n], the boards.
            max_states: positions to search for one board before giving up.
            threads: boards solved in parallel.

        Returns:
            int64 [n]: the number of steps, 0 where the board is solved, or UNSOLVABLE or LIMIT, see
            `drc_lab.envs.search`.
        """

    @abstractmethod
    def distances(self, max_positions: int) -> Distances:
        """Tables that answer `remaining` at once for each position of a level with at most ``max_positions``."""

    @abstractmethod
    def distance(self) -> np.ndarray:
        """float64 [B]: a cheap estimate of how far each board is from solved, 0 where it is solved."""

    @abstractmethod
    def text(self, env: int) -> str:
        """One board as text."""

    @abstractmethod
    def picture(self, env: int, cell_size: int) -> np.ndarray:
        """One board as uint8 [rows, columns, 3]."""

    def after_each_action(self, read: Callable[[], np.ndarray]) -> np.ndarray:
        """Tries each action on the current boards and calls ``read`` (-> [B]) after it, then restores the boards.

        Returns:
            [B, A]: what ``read`` returned after each action.
        """
        state, reward = self.get_state(), self.reward.copy()
        found = []
        for action in range(len(self.action_names)):
            self.step(np.full(len(self.solved), action))
            found.append(read().copy())
            self.set_state(state)
        self.reward[:] = reward
        return np.stack(found, axis=1)

    def get_state(self) -> dict[str, np.ndarray]:
        """Copies of all arrays that the boards' future depends on."""
        return {name: getattr(self, name).copy() for name in self.STATE}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Writes a state of `get_state` back, and rewrites all observations."""
        for name, array in state.items():
            getattr(self, name)[:] = array
        self.observe(np.arange(len(self.solved)))


def no_observations(num_envs: int, space: gym.spaces.Box) -> np.ndarray:
    """Zeros [B, ...] to write observations into. Games allocate this array first, as it checks the memory.

    Raises:
        ConfigError: this many boards do not fit into memory.
    """
    check_memory("num_envs", num_envs, COPIES * int(np.prod(space.shape)) * space.dtype.itemsize)
    return np.zeros((num_envs, *space.shape), space.dtype)


def extents(inside: np.ndarray) -> np.ndarray:
    """int64 [B, 2]: height and width of the smallest rectangle around the true cells of ``inside`` (bool [B, H, W])."""
    spans = []
    for across in (2, 1):
        lines = np.asarray(inside.any(axis=across))  # [B, H], then [B, W]
        first, beyond = lines.argmax(axis=1), lines.shape[1] - lines[:, ::-1].argmax(axis=1)
        spans.append(np.where(lines.any(axis=1), beyond - first, 0))
    return np.stack(spans, axis=1)

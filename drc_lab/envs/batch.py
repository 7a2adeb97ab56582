"""What a game is to the batch env: arrays for B boards with a compiled step."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

NOOP = "no-op"  # the last action, of games that have it


class Batch(ABC):
    """The dynamics of B boards of one game. Arrays are written in place and stay the same objects.

    Attributes:
        observation: [B, ...].
        observation_space: of one board.
        reward: float64 [B], of the last step.
        solved: bool [B], after the last step.
        optimal: int64 [B], the fewest steps that solve each board, -1 if unknown.
        action_names: one for each action.
        STATE: names of the arrays that the future depends on.
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
        """One step of all boards; actions int64 [B], in range."""

    @abstractmethod
    def observe(self, envs: np.ndarray) -> None:
        """Writes the whole observation of some boards anew."""

    @abstractmethod
    def action_masks(self) -> np.ndarray:
        """bool [B, A]: which actions change anything; doing nothing on purpose counts as allowed."""

    @abstractmethod
    def text(self, env: int) -> str:
        """One board as text."""

    @abstractmethod
    def picture(self, env: int, cell_size: int) -> np.ndarray:
        """One board as uint8 [rows, columns, 3]."""

    def get_state(self) -> dict[str, np.ndarray]:
        """Copies of all arrays that the future depends on."""
        return {name: getattr(self, name).copy() for name in self.STATE}

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Writes them back."""
        for name, array in state.items():
            getattr(self, name)[:] = array
        self.observe(np.arange(len(self.solved)))

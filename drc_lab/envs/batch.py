"""What a game provides to the batch env: arrays for B boards, and a step that updates them all at once."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np

from drc_lab.envs import views
from drc_lab.envs.distance_tables import DistanceTables
from drc_lab.envs.saved import check_array, impossible
from drc_lab.memory import check_memory

NOOP = "no-op"  # name of the no-op, which is a game's last action if it has one
SKIP = -1  # in place of an action: the board does not change, and nothing is counted
COPIES = 3  # of the observations that are in memory at once during a step
UNKNOWN = -1  # in place of an optimal length, or of the size of a level


class Batch(ABC):
    """The dynamics of B boards of one game. Arrays are written in place and stay the same objects.

    A subclass adds arrays of its own, names them in ``STATE``, and implements `load`, `step` and, unless the
    observation is one of these arrays, `observe`. All other methods are optional: by default a game has no exact solver
    and no estimate of distances, its actions are tried out to see which change anything, and it is shown as its
    observation.

    Args:
        num_envs: B.
        observation_space: of one board: (C, H, W) or (F,), uint8 of 0 to 255 or float32.
        action_names: one for each action; a no-op comes last and has the name NOOP.

    Attributes:
        observation: [B, ...], zeros at first.
        reward: float64 [B], of the last step.
        solved: bool [B], after the last step.
        optimal: int64 [B], the fewest steps that solve each board's level from its start, UNKNOWN at first.
        STATE: names of the arrays that the boards' future depends on, apart from ``optimal`` and ``solved``.

    Raises:
        ConfigError: this many boards do not fit into memory.
    """

    STATE: ClassVar[tuple[str, ...]]

    def __init__(self, num_envs: int, observation_space: gym.spaces.Box, action_names: Sequence[str]):
        self.observation_space, self.action_names = observation_space, tuple(action_names)
        size = int(np.prod(observation_space.shape)) * observation_space.dtype.itemsize
        check_memory("num_envs", num_envs, COPIES * size)  # before anything is allocated
        self.observation = np.zeros((num_envs, *observation_space.shape), observation_space.dtype)
        self.reward, self.solved = np.zeros(num_envs), np.zeros(num_envs, bool)
        self.optimal = np.full(num_envs, UNKNOWN, np.int64)

    @abstractmethod
    def load(self, envs: np.ndarray, levels: Any, rows: np.ndarray) -> None:
        """Puts level ``rows[i]`` of the set ``levels`` into board ``envs[i]`` (both int64 [n]).

        Also writes their ``observation``, ``solved`` and, where it is known, ``optimal``.
        """

    @abstractmethod
    def step(self, actions: np.ndarray) -> None:
        """Steps all boards. actions: int64 [B], each a valid action, or SKIP, which gives no reward.

        Writes ``observation``, ``reward`` and ``solved``.
        """

    def observe(self, envs: np.ndarray) -> None:  # noqa: B027 - not every game needs it
        """Rewrites the whole observation of the boards ``envs`` (int64 [n]) from the other arrays.

        By default nothing, for games whose observation is one of the arrays in ``STATE``.
        """

    def action_masks(self) -> np.ndarray:
        """bool [B, A]: which actions would change anything; the no-op is always allowed.

        By default each action is tried, and compared are the observations.
        """
        before = self.observation.copy()

        def changed() -> np.ndarray:
            return (self.observation != before).reshape(len(before), -1).any(axis=1)

        masks = self.after_each_action(changed)
        masks[:, [name == NOOP for name in self.action_names]] = True
        return masks

    def sizes(self) -> np.ndarray:
        """int64 [B, 2]: height and width of each board's level, without the padding to the batch's size.

        By default `board_size`.
        """
        return np.full((len(self.solved), 2), self.board_size, np.int64)

    @property
    def board_size(self) -> tuple[int, int]:
        """Height and width of the boards, which an observation may show without their border.

        By default those of the observation, UNKNOWN if that is a vector.
        """
        shape = self.observation_space.shape
        return (shape[1], shape[2]) if len(shape) == 3 else (UNKNOWN, UNKNOWN)

    @property
    def has_solver(self) -> bool:
        """Whether the game has an exact solver, `steps_to_solve`."""
        return type(self).steps_to_solve is not Batch.steps_to_solve

    def steps_to_solve(self, envs: np.ndarray, max_states: int, threads: int = 1) -> np.ndarray:
        """The fewest steps that solve some boards from their current positions, by the exact solver.

        Args:
            envs: int64 [n], the boards.
            max_states: positions to search for one board before giving up.
            threads: boards solved in parallel.

        Returns:
            int64 [n]: the number of steps, 0 where the board is solved, or UNSOLVABLE or LIMIT, see
            `drc_lab.envs.search`.
        """
        raise NotImplementedError

    def distance_tables(self, max_positions: int) -> DistanceTables | None:
        """Tables that answer `steps_to_solve` at once for each position of a level with at most ``max_positions``.

        None if the game has none: each position is then solved by itself.
        """
        return None

    @property
    def has_estimate(self) -> bool:
        """Whether the game has a `distance_estimate`."""
        return type(self).distance_estimate is not Batch.distance_estimate

    def distance_estimate(self) -> np.ndarray:
        """float64 [B]: a cheap estimate of how far each board is from solved, 0 where it is solved."""
        raise NotImplementedError

    def text(self, env: int) -> str:
        """One board as text."""
        return views.text(self.observation[env], self.observation_space)

    def picture(self, env: int, cell_size: int) -> np.ndarray:
        """One board as uint8 [rows, columns, 3]."""
        return views.picture(self.observation[env], self.observation_space, cell_size)

    def after_each_action(self, read: Callable[[], np.ndarray]) -> np.ndarray:
        """Tries each action on the current boards and calls ``read`` (-> [B]) after it, then restores the boards.

        Returns:
            [B, A]: what ``read`` returned after each action.
        """
        state, reward = self.get_state(), self.reward.copy()
        answers = []
        for action in range(len(self.action_names)):
            self.step(np.full(len(self.solved), action))
            answers.append(read().copy())
            self.set_state(state)
        self.reward[:] = reward
        return np.stack(answers, axis=1)

    def get_state(self) -> dict[str, np.ndarray]:
        """Copies of all arrays that the boards' future depends on."""
        return {name: getattr(self, name).copy() for name in dict.fromkeys((*self.STATE, "optimal", "solved"))}

    def check_state(self, state: Mapping[str, np.ndarray], count: int | None = None) -> None:
        """Checks a state that may come from anyone. Games add the ranges of what their compiled code uses as an index,
        as it checks none.

        Args:
            state: as `get_state` returns it after boards were loaded.
            count: boards in it; None is B.

        Raises:
            UserError: it is not that of so many boards of this game.
        """
        own = self.get_state()
        for name in {*state, *self.STATE}:
            if name not in own:
                raise impossible(name)
            check_array(name, state.get(name), own[name][:count])

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Writes a state of `get_state` back, and rewrites all observations."""
        for name, array in state.items():
            getattr(self, name)[:] = array
        self.observe(np.arange(len(self.solved)))


def extents(inside: np.ndarray) -> np.ndarray:
    """int64 [B, 2]: height and width of the smallest rectangle around the true cells of ``inside`` (bool [B, H, W])."""
    spans = []
    for across in (2, 1):
        lines = np.asarray(inside.any(axis=across))  # [B, H], then [B, W]
        first, beyond = lines.argmax(axis=1), lines.shape[1] - lines[:, ::-1].argmax(axis=1)
        spans.append(np.where(lines.any(axis=1), beyond - first, 0))
    return np.stack(spans, axis=1)

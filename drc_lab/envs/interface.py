"""The interface of a batch env as training and evaluation use it, for own games and other packages' envs alike."""

from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np


@runtime_checkable  # for the check of annotations while tests run
class BatchEnv(Protocol):
    """B copies of an env in one process, with Gymnasium's vector API.

    Info has, for each env: ``level`` (id of the episode's level), ``optimal`` (-1 if unknown), ``length`` (steps so
    far), ``return`` (undiscounted), ``solved`` if the env reports success, and ``thinks`` (number so far) if there is a
    think action. With same-step autoreset, ``final_obs`` and ``final_info`` hold the last observations and infos of
    ended episodes; without autoreset these are in the returned observation and info themselves.
    """

    num_envs: int
    noop_action: int | None  # the no-op, if there is one
    think_action: int | None  # the last action, with which the policy chooses an extra pass, if there is one
    says_success: bool  # whether the env is known to report which episodes are solved; if not, only returns tell

    @property
    def single_observation_space(self) -> gym.Space[Any]:
        """A Box of shape (C, H, W) or (F,); uint8 of 0 to 255, or float32."""

    @property
    def single_action_space(self) -> gym.spaces.Discrete:
        """Actions 0 to n - 1."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts new episodes in all envs. With a seed the stream of levels starts over, without one it continues.

        ``options["first_level"]``, if given, is the position in the stream from which levels are taken.
        """

    def step(
        self, actions: np.ndarray, paused: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Steps all envs except those where ``paused`` (bool [B]) is true, which do not change and get no reward.

        Returns observations, rewards, terminations and truncations (bool [B], never both), info.
        """

    def metrics(self) -> dict[str, float]:
        """Values to log about the env itself (the stage of a curriculum, say), by metric name."""

    def get_state(self) -> dict[str, Any]:
        """Everything the future of the env depends on, as nested dicts of arrays and plain types."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores a state that `get_state` returned."""

"""What training and evaluation use of a batch env, whoever made it."""

from typing import Any, Protocol

import gymnasium as gym
import numpy as np


class BatchEnv(Protocol):
    """B copies of an env in one process, with Gymnasium's vector API.

    Info has, for each env: ``level`` (number of the episode's level), ``optimal`` (-1 if unknown), ``length`` (steps so
    far), ``return`` (undiscounted), ``solved`` where the env says success, and ``thinks`` (so far) where there is the
    action for them. With same-step autoreset, ``final_obs`` and ``final_info`` hold what the ended episodes left;
    without it these are in the observation and info itself.
    """

    num_envs: int
    noop_action: int | None  # the one that does nothing, if there is one
    think_action: int | None  # the one, the last, with which the policy stays where it is to think on, if there is one
    says_success: bool  # whether it is known to say which episodes are solved; else their return is all there is

    @property
    def single_observation_space(self) -> gym.Space[Any]:
        """A Box of shape (C, H, W) or (F,); uint8 of 0 to 255, or float32."""

    @property
    def single_action_space(self) -> gym.spaces.Discrete:
        """Actions 0 to n - 1."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """New episodes everywhere. With a seed the stream of levels starts over, without one it goes on; from number
        ``options["first_level"]`` on, if that is given."""

    def step(
        self, actions: np.ndarray, stands: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Observations, rewards, terminations and truncations (bool [B], never both), info. Envs that ``stands``
        (bool [B]) are left as they are, for no reward."""

    def metrics(self) -> dict[str, float]:
        """What there is to log about the env itself (the stage of a curriculum, say), by metric name."""

    def get_state(self) -> dict[str, Any]:
        """All that the future depends on, as nested dicts of arrays and plain types."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes back to where `get_state` was called."""

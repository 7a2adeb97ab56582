"""One board of a game as a plain Gymnasium env."""

from typing import Any

import gymnasium as gym
import numpy as np

from drc_lab.envs.specs.levels import RENDER_MODES
from drc_lab.envs.vector import LevelVectorEnv


class LevelEnv(gym.Env):
    """One board of a `LevelVectorEnv`, as a plain Gymnasium env; rewards, infos and levels are those of the batch."""

    metadata = {"render_modes": RENDER_MODES, "render_fps": 4}

    def __init__(self, vector: LevelVectorEnv):
        self.vector = vector
        self.render_mode = vector.render_mode
        self.observation_space = vector.single_observation_space
        self.action_space = vector.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        obs, info = self.vector.reset(seed=seed, options=options)
        if self.render_mode == "human":
            self.render()
        return obs[0], _first(info)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = self.vector.step(np.array([action]))
        if self.render_mode == "human":
            self.render()
        return obs[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), _first(info)

    def action_masks(self) -> np.ndarray:
        """bool [A]: false where an action would change nothing."""
        return self.vector.action_masks()[0]

    def get_state(self) -> dict[str, Any]:
        """See `LevelVectorEnv.get_state`."""
        return self.vector.get_state()

    def set_state(self, state: dict[str, Any]) -> None:
        """See `LevelVectorEnv.set_state`."""
        self.vector.set_state(state)

    def render(self) -> Any:
        frames = self.vector.render()
        return frames[0] if frames else None

    def close(self) -> None:
        self.vector.close()


def _first(info: dict[str, Any]) -> dict[str, Any]:
    first = {key: value[0] for key, value in info.items() if not key.startswith("_")}
    return {key: value.item() if np.ndim(value) == 0 else value for key, value in first.items()}

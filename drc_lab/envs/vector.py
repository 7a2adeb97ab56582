"""The batch env and the single env that all games share.

A game is a `Batch`: arrays for B boards with a compiled step. `LevelVectorEnv` adds levels, episodes and Gymnasium's
interface to it; `LevelEnv` is the same with one board.
"""

from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from drc_lab.envs.levels import LevelStream
from drc_lab.errors import ConfigError


class Batch(Protocol):
    """The dynamics of B boards of one game. Arrays are written in place.

    Attributes:
        observation: uint8 [B, C, H, W].
        reward: float64 [B], of the last step.
        solved: bool [B], after the last step.
        optimal: int64 [B], the length of an optimal solution of each board, -1 if unknown.
    """

    observation: np.ndarray
    reward: np.ndarray
    solved: np.ndarray
    optimal: np.ndarray
    num_actions: int

    def load(self, envs: np.ndarray, levels: Any) -> None:
        """Puts one level into each of ``envs`` (int64 [n])."""

    def step(self, actions: np.ndarray) -> None:
        """One step of all boards; actions int64 [B]."""

    def render(self, env: int) -> str:
        """One board as text."""

    def get_state(self) -> dict[str, np.ndarray]:
        """Copies of all arrays that the future depends on."""

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Writes them back."""


class LevelVectorEnv(VectorEnv):
    """B boards with levels from a stream.

    An episode is terminated when its level is solved and truncated after ``max_steps`` steps. With autoreset (same
    step) the returned observation is the next episode's first, and ``info["final_obs"]`` and ``info["final_info"]``
    hold what the ended episode left. Info has, per env: ``level`` (id), ``optimal`` (-1 if unknown), ``solved``,
    ``length`` (steps so far) and ``return`` (undiscounted).

    Args:
        batch: the game.
        levels: where levels come from.
        max_steps: step limit of an episode.
        autoreset: whether a finished board gets its next level at once.
        copy: whether returned observations are copies; if not, the next step overwrites them.
    """

    def __init__(
        self,
        batch: Batch,
        levels: LevelStream,
        max_steps: int,
        autoreset: bool = True,
        copy: bool = True,
        render_mode: str | None = None,
    ):
        if max_steps < 1:
            raise ConfigError("max_steps", max_steps, "at least 1")
        self.batch, self.levels, self.max_steps, self.copy = batch, levels, max_steps, copy
        self.num_envs = len(batch.observation)
        self.render_mode = render_mode
        mode = AutoresetMode.SAME_STEP if autoreset else AutoresetMode.DISABLED
        self.metadata = {"render_modes": ["ansi"], "render_fps": 4, "autoreset_mode": mode}
        self.single_observation_space = gym.spaces.Box(0, 255, batch.observation.shape[1:], np.uint8)
        self.single_action_space: gym.spaces.Discrete = gym.spaces.Discrete(batch.num_actions)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.autoreset = autoreset
        self._seeded = False
        self.level = np.zeros(self.num_envs, np.int64)
        self.length = np.zeros(self.num_envs, np.int64)
        self.total = np.zeros(self.num_envs)

    def reset(self, *, seed: int | list[int] | None = None, options: dict | None = None):
        """Puts a new level on every board. With a seed the stream of levels starts over, without one it goes on."""
        super().reset(seed=seed if seed is None or isinstance(seed, int) else seed[0])
        if seed is not None or not self._seeded:
            self._seeded = True
            self.levels.reseed(int(self.np_random.integers(2**62)))
        self._load(np.arange(self.num_envs))
        return self._observation(), self._info(np.ones(self.num_envs, bool))

    def step(self, actions: np.ndarray):
        """Steps all boards. Returns obs, rewards, terminations, truncations (bool [B]), info."""
        actions = np.asarray(actions, dtype=np.int64)
        count = self.batch.num_actions  # compiled code checks nothing
        if actions.shape != (self.num_envs,) or actions.min() < 0 or actions.max() >= count:
            raise ValueError(f"actions: found {actions!r}, allowed: {self.num_envs} of 0 to {count - 1}")
        self.batch.step(actions)
        self.length += 1
        self.total += self.batch.reward
        terminated = self.batch.solved.copy()
        truncated = (self.length >= self.max_steps) & ~terminated
        rewards = self.batch.reward.copy()
        done = terminated | truncated
        if self.autoreset and done.any():
            final_obs, final_info = np.full(self.num_envs, None, dtype=object), self._info(done)
            envs = np.flatnonzero(done)
            for env, obs in zip(envs, self.batch.observation[envs], strict=True):
                final_obs[env] = obs
            self._load(envs)
            info = self._info(np.ones(self.num_envs, bool))
            info |= {"final_obs": final_obs, "_final_obs": done, "final_info": final_info, "_final_info": done}
        else:
            info = self._info(np.ones(self.num_envs, bool))
        return self._observation(), rewards, terminated, truncated, info

    def render(self) -> tuple[str, ...] | None:
        """All boards as text (render mode "ansi")."""
        if self.render_mode != "ansi":
            return None
        return tuple(self.batch.render(env) for env in range(self.num_envs))

    def get_state(self) -> dict[str, Any]:
        """Everything the future of this env depends on, as arrays and ints."""
        state = {"level": self.level.copy(), "length": self.length.copy(), "total": self.total.copy()}
        return {"batch": self.batch.get_state(), "levels": self.levels.get_state(), "episodes": state}

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes back to where `get_state` was called."""
        self._seeded = True
        self.batch.set_state(state["batch"])
        self.levels.set_state(state["levels"])
        for name, array in state["episodes"].items():
            getattr(self, name)[:] = array

    def _load(self, envs: np.ndarray) -> None:
        self.level[envs], levels = self.levels.take(len(envs))
        self.batch.load(envs, levels)
        self.length[envs] = 0
        self.total[envs] = 0

    def _observation(self) -> np.ndarray:
        return self.batch.observation.copy() if self.copy else self.batch.observation

    def _info(self, mask: np.ndarray) -> dict[str, Any]:
        info = {
            "level": self.level.copy(),
            "optimal": self.batch.optimal.copy(),
            "solved": self.batch.solved.copy(),
            "length": self.length.copy(),
            "return": self.total.copy(),
        }
        return info | {f"_{key}": mask for key in info}


class LevelEnv(gym.Env):
    """One board of a `LevelVectorEnv`, as a plain Gymnasium env; rewards, infos and levels are those of the batch."""

    metadata = {"render_modes": ["ansi"], "render_fps": 4}

    def __init__(self, vector: LevelVectorEnv):
        self.vector = vector
        self.render_mode = vector.render_mode
        self.observation_space = vector.single_observation_space
        self.action_space = vector.single_action_space

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        obs, info = self.vector.reset(seed=seed, options=options)
        return obs[0], _first(info)

    def step(self, action: int):
        obs, reward, terminated, truncated, info = self.vector.step(np.array([action]))
        return obs[0], float(reward[0]), bool(terminated[0]), bool(truncated[0]), _first(info)

    def render(self) -> str | None:
        frames = self.vector.render()
        return frames[0] if frames else None


def _first(info: dict[str, Any]) -> dict[str, Any]:
    return {key: value[0].item() for key, value in info.items() if not key.startswith("_")}

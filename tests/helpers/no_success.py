"""A training in an env that says no success."""

import gymnasium as gym
import numpy as np

SMALL = [
    "policy=mlp", "threads=1", "algo.rollouts.frames=1280", "algo.rollouts.num_envs=8", "algo.rollouts.num_steps=8",
    "algo.log_every_rollouts=5", "evaluation.num_levels=6", "evaluation.every_frames=320",
]  # fmt: skip


class Four(gym.Env):
    """Four steps; the return is how often the action was that which the observation shows, all four are a success."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, tells=False):
        self.tells = tells

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.total = self.steps = 0
        return self._show(), {}

    def _show(self):
        self.right = int(self.np_random.integers(2))
        return np.eye(2, dtype=np.float32)[self.right]

    def step(self, action):
        self.steps += 1
        reward = float(action == self.right)
        self.total += reward
        info = {"is_success": self.total == 4} if self.tells and self.steps == 4 else {}
        return self._show(), reward, self.steps == 4, False, info

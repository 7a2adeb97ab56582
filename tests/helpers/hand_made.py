"""Small Gymnasium envs whose observations, rewards and ends are written down in the test that registers them."""

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete


class HandMade(gym.Env):
    """Shows ``show(rng, steps so far)``; ``after(steps, action)`` says (reward, terminated, truncated, info)."""

    metadata = {"render_modes": ["ansi"]}

    def __init__(self, space, show, actions=None, after=None, render_mode=None):
        self.observation_space, self.action_space = space, actions or Discrete(3)
        self.show, self.render_mode = show, render_mode
        self.after = after or (lambda steps, action: (float(action), steps == 5, False, {}))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.show(self.np_random, 0), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.steps += 1
        return self.show(self.np_random, self.steps), *self.after(self.steps, action)

    def render(self):
        return f"step {self.steps}"


def register(space, show, reward_threshold=None, **settings):
    """Registers such an env and returns its id."""
    env_id = f"HandMade{len(gym.registry)}-v0"
    gym.register(env_id, lambda **more: HandMade(space, show, **settings, **more), reward_threshold=reward_threshold)
    return env_id


def codes(shape, largest, dtype=np.uint8):
    """A space of whole numbers with nothing said about the largest, and observations of 0 to ``largest``."""
    limit = np.iinfo(dtype).max
    return Box(0, limit, shape, dtype), lambda rng, steps: rng.integers(0, largest + 1, shape).astype(dtype)


def vector(size=3):
    """A space of unbounded floats, and normal observations."""
    return Box(-np.inf, np.inf, (size,), np.float32), lambda rng, steps: rng.normal(size=size).astype(np.float32)

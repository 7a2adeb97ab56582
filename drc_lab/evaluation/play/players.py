"""Players that take the place of a policy, for controls."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from drc_lab.envs.batch import Batch
from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.play.choices import Choose
from drc_lab.models.policy import Device, DType, Policy, PolicyValue, Repeats, num_actions
from drc_lab.models.random import RandomPolicy


def random_policy(policy: Policy, env: BatchEnv) -> RandomPolicy:
    """A policy with the same actions as ``policy``, all equally probable."""
    shape = env.single_observation_space.shape
    assert shape is not None
    return RandomPolicy(shape, num_actions(policy))


def nearest(game: Batch, noop: int | None, seed: int) -> Choose:
    """Chooses the action after which `Batch.distance_estimate` is smallest, of those that change the board.

    Ties are broken at random, as a fixed choice could get the player stuck.
    """
    rng = np.random.default_rng(seed)

    def choose(logits: Float[Tensor, "n A"], envs: Int64[Tensor, "n"]) -> Int64[Tensor, "n"]:
        rows = envs.numpy()
        allowed = game.action_masks()[rows]  # (n, A)
        if noop is not None:
            allowed[:, noop] = False
        ahead = np.where(allowed, game.after_each_action(game.distance_estimate)[rows], np.inf)
        best = ahead == ahead.min(axis=1, keepdims=True)
        return torch.from_numpy((best * (1 + rng.random(best.shape))).argmax(axis=1))

    return choose


class WithoutMemory(Policy):
    """Wraps a policy so that each pass starts from the initial carry, as at the start of an episode."""

    def __init__(self, policy: Policy):
        super().__init__()
        self.policy, self.obs_shape, self.repeats_per_step = policy, policy.obs_shape, policy.repeats_per_step

    def init_state(
        self, batch: int, H: int | None = None, W: int | None = None, device: Device = None, dtype: DType = None
    ) -> tuple[()]:
        """An empty carry."""
        return ()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        with self.policy.frozen():
            yield

    def unroll(
        self, obs: Shaped[Tensor, "T B *obs"], state: Any, resets: Bool[Tensor, "T B"], repeats: Repeats = None
    ) -> tuple[PolicyValue, Any]:
        return self.policy.unroll(obs, self.policy.initial_carry(obs[0]), torch.ones_like(resets), repeats)[0], state

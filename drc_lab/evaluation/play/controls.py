"""What a policy's result is compared with: players that do not plan, or cannot remember."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from drc_lab.envs.batch import Batch
from drc_lab.envs.interface import BatchEnv
from drc_lab.envs.vector import game_of
from drc_lab.evaluation import thinking_spec
from drc_lab.evaluation.play.evaluator import Choose, most_probable, never, sampled
from drc_lab.models.policy import Device, DType, Policy, PolicyValue, Repeats, num_actions
from drc_lab.models.random import RandomPolicy

Control = Callable[[Policy, BatchEnv, int], tuple[Policy, Choose | None]]  # policy, env, seed -> who plays, and how


def random_control(policy: Policy, env: BatchEnv, seed: int) -> tuple[Policy, Choose]:
    """Uniform over the policy's actions but for thinking."""
    shape = env.single_observation_space.shape
    assert shape is not None
    return RandomPolicy(shape, num_actions(policy)), never(env.think_action, sampled(seed))


def sampled_control(policy: Policy, env: BatchEnv, seed: int) -> tuple[Policy, Choose]:
    """The policy, its actions sampled as in training."""
    return policy, sampled(seed)


def no_memory_control(policy: Policy, env: BatchEnv, seed: int) -> tuple[Policy, None]:
    """The policy, its carry zeroed before every step."""
    return NoMemory(policy), None


def never_thinks_control(policy: Policy, env: BatchEnv, seed: int) -> tuple[Policy, Choose]:
    """The policy, its action "think" forbidden: where that is the best one, it takes the best other one."""
    return policy, never(env.think_action, most_probable)


def distance_control(policy: Policy, env: BatchEnv, seed: int) -> tuple[Policy, Choose]:
    """Looks one step ahead, and goes where `Batch.distance` is least; only in an env whose game is known."""
    game, shape = game_of(env), env.single_observation_space.shape
    assert game is not None and shape is not None
    return RandomPolicy(shape, num_actions(policy)), nearest(game, env.noop_action, seed)


def nearest(game: Batch, noop: int | None, seed: int) -> Choose:
    """Chooses the action after which the board is nearest to solved, of those that change anything; among equals at
    random, or it would stand still."""
    rng = np.random.default_rng(seed)

    def choose(logits: Tensor, envs: Tensor) -> Tensor:
        rows = envs.numpy()
        allowed = game.action_masks()[rows]  # (n, A)
        if noop is not None:
            allowed[:, noop] = False
        ahead = np.where(allowed, game.after_each_action(game.distance)[rows], np.inf)
        best = ahead == ahead.min(axis=1, keepdims=True)
        return torch.from_numpy((best * (1 + rng.random(best.shape))).argmax(axis=1))

    return choose


class NoMemory(Policy):
    """A policy that begins each pass as if the episode began."""

    def __init__(self, policy: Policy):
        super().__init__()
        self.policy, self.obs_shape, self.repeats_per_step = policy, policy.obs_shape, policy.repeats_per_step

    def init_state(
        self, batch: int, H: int | None = None, W: int | None = None, device: Device = None, dtype: DType = None
    ) -> tuple[()]:
        """There is nothing to carry."""
        return ()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        with self.policy.frozen():
            yield

    def unroll(self, obs: Tensor, state: Any, resets: Tensor, repeats: Repeats = None) -> tuple[PolicyValue, Any]:
        H, W = obs.shape[3:] if obs.ndim == 5 else (None, None)
        carry = self.policy.init_state(obs.shape[1], H, W, obs.device, next(self.policy.parameters()).dtype)
        return self.policy.unroll(obs, carry, resets.new_ones(resets.shape), repeats)[0], state


PLAYERS = (random_control, sampled_control, no_memory_control, distance_control, never_thinks_control)
CONTROLS: dict[str, Control] = {
    **dict(zip(thinking_spec.CONTROLS, PLAYERS, strict=True)),
    thinking_spec.NO_MEMORY_PASSES: no_memory_control,
}

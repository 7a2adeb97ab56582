"""Controls: players that a policy is compared with, such as ones that do not plan or that cannot remember."""

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
from drc_lab.evaluation.play.choices import Choose, most_probable, never, sampled
from drc_lab.models.policy import Device, DType, Policy, PolicyValue, Repeats, num_actions
from drc_lab.models.random import RandomPolicy

Control = Callable[[Policy, BatchEnv, int], tuple[Policy, Choose | None]]  # policy, env, seed -> who plays, and how


def random_control(policy: Policy, env: BatchEnv, seed: int) -> tuple[Policy, Choose]:
    """Samples uniformly from the policy's actions, without the action "think"."""
    shape = env.single_observation_space.shape
    assert shape is not None
    return RandomPolicy(shape, num_actions(policy)), never(env.think_action, sampled(seed))


def sampled_control(policy: Policy, env: BatchEnv, seed: int) -> tuple[Policy, Choose]:
    """The policy with sampled actions, as in training."""
    return policy, sampled(seed)


def no_memory_control(policy: Policy, env: BatchEnv, seed: int) -> tuple[Policy, None]:
    """The policy with its carry zeroed before every step."""
    return NoMemory(policy), None


def never_thinks_control(policy: Policy, env: BatchEnv, seed: int) -> tuple[Policy, Choose]:
    """The policy without its action "think": where that is the most probable one, it takes the next most probable."""
    return policy, never(env.think_action, most_probable)


def distance_control(policy: Policy, env: BatchEnv, seed: int) -> tuple[Policy, Choose]:
    """Looks one step ahead and takes the action that leads to the smallest `Batch.distance_estimate`.

    Only for envs with one of the project's own games.
    """
    game, shape = game_of(env), env.single_observation_space.shape
    assert game is not None and shape is not None
    return RandomPolicy(shape, num_actions(policy)), nearest(game, env.noop_action, seed)


def nearest(game: Batch, noop: int | None, seed: int) -> Choose:
    """Chooses the action after which `Batch.distance_estimate` is smallest, of those that change the board.

    Ties are broken at random, as a fixed choice could get the player stuck.
    """
    rng = np.random.default_rng(seed)

    def choose(logits: Tensor, envs: Tensor) -> Tensor:
        rows = envs.numpy()
        allowed = game.action_masks()[rows]  # (n, A)
        if noop is not None:
            allowed[:, noop] = False
        ahead = np.where(allowed, game.after_each_action(game.distance_estimate)[rows], np.inf)
        best = ahead == ahead.min(axis=1, keepdims=True)
        return torch.from_numpy((best * (1 + rng.random(best.shape))).argmax(axis=1))

    return choose


class NoMemory(Policy):
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

    def unroll(self, obs: Tensor, state: Any, resets: Tensor, repeats: Repeats = None) -> tuple[PolicyValue, Any]:
        return self.policy.unroll(obs, self.policy.initial_carry(obs[0]), resets.new_ones(resets.shape), repeats)[
            0
        ], state


PLAYERS = (random_control, sampled_control, no_memory_control, distance_control, never_thinks_control)
CONTROLS: dict[str, Control] = {
    **dict(zip(thinking_spec.CONTROLS, PLAYERS, strict=True)),
    thinking_spec.NO_MEMORY_PASSES: no_memory_control,
}

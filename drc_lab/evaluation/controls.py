"""What a policy's result is compared with: players that do not plan, or cannot remember."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from drc_lab.envs.interface import BatchEnv
from drc_lab.evaluation.evaluator import Choose, sampled
from drc_lab.models.policy import Policy, PolicyValue, Repeats, num_actions
from drc_lab.models.random import RandomPolicy

Control = Callable[[Policy, BatchEnv, int], tuple[Policy, Choose | None]]  # policy, env, seed -> who plays, and how


def random_control(policy: Policy, env: BatchEnv, seed: int) -> tuple[Policy, Choose]:
    """Uniform over the policy's actions."""
    shape = env.single_observation_space.shape
    assert shape is not None
    return RandomPolicy(shape, num_actions(policy)), sampled(seed)


def sampled_control(policy: Policy, env: BatchEnv, seed: int) -> tuple[Policy, Choose]:
    """The policy, its actions sampled as in training."""
    return policy, sampled(seed)


def no_memory_control(policy: Policy, env: BatchEnv, seed: int) -> tuple[Policy, None]:
    """The policy, its carry zeroed before every step."""
    return NoMemory(policy), None


class NoMemory(Policy):
    """A policy that begins each pass as if the episode began."""

    def __init__(self, policy: Policy):
        super().__init__()
        self.policy, self.obs_shape, self.repeats_per_step = policy, policy.obs_shape, policy.repeats_per_step

    def init_state(self, batch: int, H: int | None = None, W: int | None = None, device=None, dtype=None) -> tuple:
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


CONTROLS: dict[str, Control] = {
    "random": random_control,
    "sampled": sampled_control,
    "no_memory": no_memory_control,
}

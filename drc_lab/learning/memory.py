"""Checks whether the rollouts of a training fit into memory, before the run begins."""

import math

from drc_lab.arguments import errors_under
from drc_lab.envs.interface import BatchEnv
from drc_lab.learning.rollout_spec import RolloutSpec
from drc_lab.memory import check_memory
from drc_lab.models.policy import Policy


def check_rollouts(spec: RolloutSpec, env: BatchEnv, policy: Policy, machines: int = 1, kept: bool = True) -> None:
    """Refuses more envs, steps or ticks than fit into memory.

    Args:
        spec: sizes of the rollouts, summed over all ranks.
        env: a copy of the training env.
        policy: the policy that learns.
        machines: number of machines that the envs are divided among.
        kept: whether the activations for the backward pass are in this memory (and not in a GPU's).

    Raises:
        ConfigError: about ``algo.rollouts.num_envs``; or about ``policy.repeats_per_step`` or a key of
            ``algo.rollouts`` that is too large even for a single env.
    """
    space = env.single_observation_space
    observation = math.prod(space.shape or ()) * space.dtype.itemsize  # type: ignore[union-attr]
    ticks = spec.max_repeats or policy.repeats_per_step
    steps, learned = spec.num_steps + spec.context, spec.num_steps + spec.learned_context
    tick = policy.bytes_of_a_tick() // spec.minibatches if kept else 0
    ticks_key = "policy.repeats_per_step" if spec.max_repeats is None else "algo.rollouts.max_repeats"
    check_memory(ticks_key, ticks, tick)
    with errors_under("algo.rollouts"):
        check_memory("burn_in", spec.burn_in, observation)
        check_memory("bptt_steps", spec.bptt_steps or 0, observation + ticks * tick)
        check_memory("num_steps", spec.num_steps, observation + ticks * tick)
        check_memory("num_envs", -(-spec.num_envs // machines), steps * observation + learned * ticks * tick)

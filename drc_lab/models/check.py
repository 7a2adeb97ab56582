"""Checks policies before any training: their number of weights, and user-defined ones against the interface of `Policy`
with a few steps of two envs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from drc_lab.errors import ConfigError, UserError
from drc_lab.memory import check_memory
from drc_lab.models.policy import Policy, PolicyValue
from drc_lab.own_code import described

T, B = 3, 2  # steps and envs
BYTES_OF_A_WEIGHT = 16  # float32: the weight, its gradient, and the two moment estimates of Adam


def check_number_of_weights(make: Callable[[], Policy], key: str) -> None:
    """Refuses a policy with more weights than fit into memory.

    Args:
        make: builds the policy; on the device on which this calls it nothing is allocated.
        key: config key of the policy.

    Raises:
        ConfigError: they do not fit.
    """
    with torch.device("meta"):
        weights = sum(weight.numel() for weight in make().parameters())
    check_memory(f"{key} (number of weights)", weights, BYTES_OF_A_WEIGHT)


def check_policy(policy: Policy, space: gym.Space[Any], num_actions: int, key: str, name: str) -> None:
    """Runs the policy on a few made-up observations and checks what it returns; random generators keep their state.

    Args:
        policy: the policy, with any weights.
        space: observation space of one env.
        num_actions: |A|.
        key: config key that names the policy.
        name: the policy's name, as the config has it under that key.

    Raises:
        ConfigError: an attribute is missing; an output has the wrong shape or type; the carry does not have one row
            for each env, or is not reset where an episode begins; or `unroll` of a sequence differs from single steps.
        UserError: the policy raised an error; the message says which, and where.
    """

    def demand(met: bool, wanted: str) -> None:
        if not met:
            raise ConfigError(key, name, f"a policy {wanted}")

    assert isinstance(space, gym.spaces.Box)
    shape = tuple(space.shape)
    demand(hasattr(policy, "obs_shape"), f"that has obs_shape, which is {shape} here")
    found: Any = policy.obs_shape
    demand(isinstance(found, Sequence) and tuple(found) == shape, f"whose obs_shape is {shape}, not {found!r}")
    policy.obs_shape = shape  # lists, as configs give them, become tuples
    repeats: Any = policy.repeats_per_step
    demand(isinstance(repeats, int) and repeats >= 1, f"whose repeats_per_step is an int from 1, not {repeats!r}")
    demand(next(policy.parameters(), None) is not None, "with parameters (super().__init__() comes before them)")
    seen = np.clip(np.resize(np.arange(7), (T, B, *shape)), space.low, space.high)
    obs = torch.from_numpy(seen.astype(space.dtype))
    resets = torch.zeros(T, B, dtype=torch.bool)

    def started() -> Any:
        return policy.initial_carry(obs[0])

    def unroll(obs: Tensor, carry: Any, resets: Tensor) -> tuple[PolicyValue, Any]:
        result = policy.unroll(obs, carry, resets)
        demand(
            isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], PolicyValue),
            "whose unroll returns a pair: PolicyValue(policy_logits, value), and the new carry",
        )
        for part, width in (("policy_logits", num_actions), ("value", 1)):
            tensor, right = getattr(result[0], part), (len(obs), B, width)
            axes = f"[steps, envs, {'actions' if part != 'value' else 1}]"
            demand(isinstance(tensor, Tensor) and tensor.is_floating_point(), f"whose {part} is a float tensor")
            demand(tuple(tensor.shape) == right, f"whose {part} is {axes}, {right} here, not {tuple(tensor.shape)}")
        return result

    with quiet(policy, key.rpartition(".")[0], name):
        carry = started()
        demand(
            all(isinstance(x, Tensor) and x.ndim and len(x) == B for x in tree_leaves(carry)),
            f"whose init_state({B}, ...) gives tensors with a first axis of {B}, one row for each env",
        )
        out, end = unroll(obs, carry, resets)
        demand(kinds(end) == kinds(carry), f"whose carry stays as it is: unroll makes {kinds(end)} of {kinds(carry)}")
        again, _ = unroll(obs, started(), resets)
        if not same(out, again):
            return  # the policy is stochastic, so no outputs can be compared
        carry, steps = started(), []
        for t in range(T):
            one, carry = unroll(obs[t : t + 1], carry, resets[:1])
            steps.append(one)
        whole = PolicyValue(*(torch.cat(each) for each in zip(*steps, strict=True)))
        demand(same(out, whole) and same(end, carry), f"whose unroll of {T} steps equals {T} unrolls of one step")
        fresh, _ = unroll(obs[:1], started(), resets[:1])
        reset, _ = unroll(obs[:1], end, ~resets[:1])
        demand(same(fresh, reset), "whose unroll starts anew, as from init_state, where resets is true")


@contextmanager
def quiet(policy: Policy, key: str, name: str) -> Iterator[None]:
    """Context for running the policy: evaluation mode, no gradients, random state restored afterwards.

    Raises:
        UserError: in one line, for any error that the policy raises.
    """
    training = policy.training
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), policy.eval().frozen():
            yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{key}: {name} raises {described(error)}") from error
    finally:
        policy.train(training)


def kinds(carry: Any) -> list[str]:
    """Shape and dtype of each tensor of the carry, as text."""
    return [
        f"{tuple(x.shape)} {str(x.dtype).removeprefix('torch.')}" if isinstance(x, Tensor) else type(x).__name__
        for x in tree_leaves(carry)
    ]


def same(a: Any, b: Any) -> bool:
    return all(
        torch.allclose(x, y, rtol=1e-3, atol=1e-4, equal_nan=True)
        for x, y in zip(tree_leaves(a), tree_leaves(b), strict=True)
    )

"""Checks a user's own loss against the interface of `Loss`, on a tiny rollout before any training."""

from typing import Any

import torch
from torch import Tensor

from drc_lab.errors import ConfigError, UserError
from drc_lab.learning.losses.base import ActorCriticLoss, Loss, Targets, Transitions
from drc_lab.own_code import described

T, B, A = 3, 2, 4  # steps, envs, actions


def check_loss(loss: Loss, key: str, name: str) -> None:
    """Calls the loss and its methods, and checks what they return.

    Args:
        loss: the loss, with any coefficients.
        key: config key that names the loss, for messages.
        name: name of the loss as given in the config.

    Raises:
        ConfigError: a result has the wrong shape or type. A wrong shape would otherwise be broadcast silently.
        UserError: the loss raised an error; the message says which, and where.
    """

    def demand(met: bool, wanted: str) -> None:
        if not met:
            raise ConfigError(key, name, f"a loss {wanted}")

    def demand_terms(what: str, terms: Any) -> None:
        shape = tuple(terms.shape) if isinstance(terms, Tensor) else type(terms).__name__
        demand(shape == (T, B), f"whose {what} is [steps, envs], {(T, B)} here, not {shape}")

    logits = torch.linspace(-1, 1, (T + 1) * B * A).view(T + 1, B, A).requires_grad_()
    values = torch.linspace(0, 1, (T + 1) * B).view(T + 1, B).requires_grad_()
    old = values.detach() if loss.uses_behaviour_values else None
    resets, truncated = torch.zeros(T + 1, B, dtype=torch.bool), torch.zeros(T, B, dtype=torch.bool)
    steps = torch.ones(T, B)
    batch = Transitions(torch.ones(T, B, dtype=torch.int64), steps, logits.detach()[:-1], resets, truncated, old)
    if loss.uses_optimal_actions:
        demand(type(loss).judge is not Loss.judge, "with a method judge, as it uses optimal actions")
        batch = batch._replace(optimal_actions=torch.ones(T, B, A, dtype=torch.bool))
    try:
        if isinstance(loss, ActorCriticLoss) and type(loss).__call__ is ActorCriticLoss.__call__:
            targets = loss.targets(values.detach(), steps, 0.9 * steps, steps)
            demand(isinstance(targets, Targets), "whose targets returns Targets(advantages, values)")
            demand_terms("targets' advantages", targets.advantages)
            demand_terms("targets' values", targets.values)
            demand_terms("policy_terms", loss.policy_terms(-steps, steps, targets.advantages))
            demand_terms("value_terms", loss.value_terms(values[:-1], targets.values, old))
        result: Any = loss(logits, values, batch)
        demand(
            isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict),
            "that returns a pair: the loss, and a dict of scalars for logging",
        )
        total, parts = result
        demand(
            isinstance(total, Tensor) and total.ndim == 0 and total.requires_grad, "that is a scalar with a gradient"
        )
        for part, value in parts.items():
            demand(isinstance(value, Tensor) and value.numel() == 1, f"whose parts are scalar tensors; {part} is none")
        demand(loss.target_kl is None or "kl" in parts, "with a part kl, as it has a target_kl")
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{key.rpartition('.')[0]}: {name} raises {described(error)}") from error

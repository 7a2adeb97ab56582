"""Stops a training before a NaN or an infinity gets into the weights, and says where it came from."""

from collections.abc import Iterator
from typing import Any

import lightning as L
import torch

from drc_lab.errors import Diverged
from drc_lab.learning.agent import Agent
from drc_lab.learning.finite import first_not_finite, weights
from drc_lab.learning.rollout import Rollout


class NaNGuard(L.Callback):
    """Checks the loss and the gradient norm before each optimizer step, and the weights after it.

    If one of them is not finite, it searches for the first tensor that is not, in the order of computation: weights,
    the rollout's tensors, the loss's parts, gradients. Checkpoints are not touched: they all hold finite weights.

    Raises:
        Diverged: names that tensor and the number of frames.
    """

    def on_train_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        assert isinstance(agent, Agent)
        self._check_weights(agent)
        for optimizer in trainer.optimizers:
            optimizer.register_step_post_hook(lambda *_: self._check_weights(agent))

    def on_train_batch_start(
        self, trainer: L.Trainer, agent: L.LightningModule, batch: Rollout, batch_idx: int
    ) -> None:
        self._batch = batch

    def on_before_optimizer_step(self, trainer: L.Trainer, agent: L.LightningModule, optimizer: Any) -> None:
        assert isinstance(agent, Agent)
        agent.measure_gradients()
        names = ["total"]
        if getattr(trainer.precision_plugin, "scaler", None) is None:  # a gradient scaler skips such a step by itself
            names.append("grad_norm")
        values = [agent.parts[name] for name in names if name in agent.parts]  # empty if the KL limit skipped it
        if values and not torch.stack(values).isfinite().all():
            raise Diverged(self._message(agent, self._tensors(agent)))

    def _check_weights(self, agent: Agent) -> None:
        values = [weight.detach() for weight in agent.parameters()]
        if not torch.isfinite(torch.nn.utils.get_total_norm(values)):
            raise Diverged(self._message(agent, self._weights(agent)))

    def _weights(self, agent: Agent) -> Iterator[tuple[str, Any]]:
        """The policy's weights, then those of auxiliary losses."""
        yield from weights(agent.policy)
        yield from ((f"weight {name}", weight) for name, weight in agent.auxiliary.named_parameters())

    def _tensors(self, agent: Agent) -> Iterator[tuple[str, Any]]:
        yield from self._weights(agent)
        yield from (("observations", self._batch.obs), ("carry", self._batch.carry))
        yield from self._batch.transitions._asdict().items()
        parts = sorted(agent.parts.items(), key=lambda part: part[0] == "total")  # the sum of the others comes last
        yield from ((f"loss/{name}", value) for name, value in parts if name != "grad_norm")
        learned = ((name.removeprefix("policy."), weight.grad) for name, weight in agent.named_parameters())
        yield from ((f"gradient of {name}", gradient) for name, gradient in learned)

    def _message(self, agent: Agent, tensors: Iterator[tuple[str, Any]]) -> str:
        # If all are finite, the squares of the gradients overflowed in their norm.
        where, found = first_not_finite(tensors) or ("the gradients' norm", "inf")
        return (
            f"{where} is {found} at {agent.frames:,} frames; the training stops, and its last checkpoint stays as it is"
        )

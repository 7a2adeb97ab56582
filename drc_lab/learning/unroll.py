"""The policy's pass over a minibatch with gradients, replayed as two CUDA graphs: forward and backward."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils._pytree import tree_leaves, tree_map

from drc_lab.learning.recording import Replays, copied, like, uncached_autocast
from drc_lab.models.policy import PolicyValue


class RecordedUnroll(NamedTuple):
    """A recorded forward and backward pass, which read and write the same tensors each time.

    ``forward`` reads ``inputs`` and writes ``outputs``. ``backward`` reads ``d_outputs`` and writes ``gradients``, one
    for each weight, None for a weight that the outputs do not depend on.
    """

    inputs: list[Tensor]
    forward: Callable[[], None]
    outputs: PolicyValue
    d_outputs: PolicyValue
    backward: Callable[[], None]
    gradients: Sequence[Tensor | None]


class GraphedUnroll(Replays[RecordedUnroll]):
    """Logits and values of a sequence, recorded once for each shape and sequence of ticks.

    A backward pass is only valid for the last forward pass of its shape, which overwrites the activations of the one
    before. See `drc_lab.learning.recording`.
    """

    without = "algo.rollouts.cuda_graph: learning without"

    def __call__(
        self, obs: Shaped[Tensor, "T B *obs"], carry: Any, resets: Bool[Tensor, "T B"], repeats: Sequence[int]
    ) -> PolicyValue:
        """See `Policy.unroll`. No gradient flows into the carry, and the new carry is not returned."""
        given, ticks = (obs, carry, resets), tuple(repeats)
        self.recordings.check()
        key = like(given, ticks), torch.is_autocast_enabled(obs.device.type)
        recording = self.recordings.get(key, lambda: self._recording(given, ticks))
        if recording is None:
            return self.policy.unroll(obs, carry, resets, repeats)[0]
        for static, tensor in zip(recording.inputs, tree_leaves(given), strict=True):
            static.copy_(tensor)
        apply: Callable[..., tuple[Tensor, ...]] = _Replayed.apply  # torch does not annotate it
        return PolicyValue(*apply(recording, *self._weights()))

    def _weights(self) -> list[Tensor]:
        return [p for p in self.policy.parameters() if p.requires_grad]

    def _recording(
        self, given: tuple[Shaped[Tensor, "T B *obs"], Any, Bool[Tensor, "T B"]], ticks: tuple[int, ...]
    ) -> RecordedUnroll:
        obs, carry, resets = static = tree_map(lambda x: copied(x, given[0].device), given)
        weights = self._weights()

        def forward() -> PolicyValue:
            with torch.enable_grad(), uncached_autocast(obs.device):
                return self.policy.unroll(obs, carry, resets, ticks)[0]

        def backward(outputs: PolicyValue, d_outputs: PolicyValue) -> tuple[Tensor | None, ...]:
            with torch.autocast(obs.device.type, enabled=False):  # as in a trainer's backward pass
                return torch.autograd.grad(tuple(outputs), weights, tuple(d_outputs), allow_unused=True)

        def both() -> None:
            outputs = forward()
            backward(outputs, tree_map(torch.zeros_like, outputs))

        recorder = self.recorder()
        recorder.warm_up(both)
        there, outputs = recorder.record(forward)
        d_outputs = tree_map(torch.zeros_like, outputs)
        back, gradients = recorder.record(lambda: backward(outputs, d_outputs))
        return RecordedUnroll(tree_leaves(static), there, tree_map(Tensor.detach, outputs), d_outputs, back, gradients)


class _Replayed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, recording: RecordedUnroll, *weights: Tensor) -> tuple[Any, ...]:
        ctx.recording = recording
        recording.forward()
        return tuple(x.clone() for x in recording.outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *d_outputs: Tensor) -> tuple[Any, ...]:
        recording = ctx.recording
        for static, gradient in zip(recording.d_outputs, d_outputs, strict=True):
            static.copy_(gradient)
        recording.backward()
        return None, *(None if x is None else x.clone() for x in recording.gradients)

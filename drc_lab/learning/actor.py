"""The policy's step while experience is collected: as it is written, or replayed as a CUDA graph."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from drc_lab.learning.recording import Replays, copied, like, uncached_autocast
from drc_lab.models.policy import Policy, PolicyValue


class Actor:
    """Acts with the present weights.

    Attributes:
        profile: what each step is told to, as the part "act"; a trainer's `Profiler.profile`, say.
    """

    def __init__(self, policy: Policy):
        self.policy = policy
        self.profile: Callable[[str], AbstractContextManager[Any]] = nullcontext

    def ready(self) -> AbstractContextManager[Any]:
        """The context of one rollout, within which the weights stay as they are."""
        return self.policy.frozen()

    def act(self, obs: Tensor, carry: Any, resets: Tensor, repeats: int) -> tuple[PolicyValue, Any]:
        """One step. On a GPU it does not wait for the answer, nor, from pinned memory, for what it sends.

        Args:
            obs: [B, ...], on the CPU.
            carry: before the step, on the policy's device.
            resets: bool [B], on the CPU.
            repeats: ticks.

        Returns:
            logits [1, B, A] and values [1, B, 1], and the carry after the step, all on the policy's device.
        """
        device = next(self.policy.parameters()).device
        obs, resets = (x[None].to(device, non_blocking=device.type == "cuda") for x in (obs, resets))
        return self.policy.unroll(obs, carry, resets, (repeats,))


class RecordedStep(NamedTuple):
    """``replay`` reads the inputs and writes the outputs, always the same tensors."""

    inputs: list[Tensor]
    replay: Callable[[], None]
    outputs: Any


class GraphedActor(Replays[RecordedStep], Actor):
    """Records the step once for each number of ticks and shape, and replays it; see `drc_lab.learning.recording`."""

    without = "algo.rollouts.cuda_graph: acting without"

    def ready(self) -> AbstractContextManager[Any]:
        if self.recordings.failed:
            return super().ready()
        self.recordings.check()
        return nullcontext()  # not frozen

    def act(self, obs: Tensor, carry: Any, resets: Tensor, repeats: int) -> tuple[PolicyValue, Any]:
        given = obs, carry, resets
        recording = self.recordings.get(like(given, repeats), lambda: self._recording(given, repeats))
        if recording is None:
            return super().act(obs, carry, resets, repeats)
        for static, tensor in zip(recording.inputs, tree_leaves(given), strict=True):
            static.copy_(tensor, non_blocking=True)
        recording.replay()
        return tree_map(torch.clone, recording.outputs)

    def _recording(self, given: tuple[Tensor, Any, Tensor], repeats: int) -> RecordedStep:
        device = next(self.policy.parameters()).device
        obs, carry, resets = static = tree_map(lambda x: copied(x, device), given)

        def step() -> tuple[PolicyValue, Any]:
            with torch.no_grad(), uncached_autocast(device):
                return self.policy.unroll(obs[None], carry, resets[None], (repeats,))

        recorder = self.recorder()
        recorder.warm_up(step)
        return RecordedStep(tree_leaves(static), *recorder.record(step))

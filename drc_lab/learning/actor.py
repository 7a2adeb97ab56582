"""Runs the policy's steps while rollouts are collected, either directly or as a replayed CUDA graph."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from drc_lab.learning.recording import Replays, copied, like, uncached_autocast
from drc_lab.models.policy import Policy, PolicyValue


class Actor:
    """Runs single steps of the policy with its current weights.

    Attributes:
        profile: makes a context manager that times each step under the name "act", such as a trainer's
            `Profiler.profile`.
    """

    profile: Callable[[str], AbstractContextManager[Any]] = nullcontext

    def __init__(self, policy: Policy):
        self.policy = policy

    def ready(self) -> AbstractContextManager[Any]:
        """The context manager for one rollout, within which the weights must not change."""
        return self.policy.frozen()

    def act(
        self, obs: Shaped[Tensor, "B *obs"], carry: Any, resets: Bool[Tensor, "B"], repeats: int
    ) -> tuple[PolicyValue, Any]:
        """Runs one step. On a GPU it returns before the result is computed, and copies from pinned memory do not block.

        Args:
            obs: on the CPU.
            carry: the carry before the step, on the policy's device.
            resets: on the CPU.
            repeats: ticks of this step.

        Returns:
            logits [1, B, A] and values [1, B, 1], and the carry after the step, all on the policy's device.
        """
        device = next(self.policy.parameters()).device
        obs, resets = (x[None].to(device, non_blocking=device.type == "cuda") for x in (obs, resets))
        return self.policy.unroll(obs, carry, resets, (repeats,))


class RecordedStep(NamedTuple):
    """A recorded step: ``replay`` reads ``inputs`` and overwrites ``outputs``, the same tensors each time."""

    inputs: list[Tensor]
    replay: Callable[[], None]
    outputs: Any


class GraphedActor(Replays[RecordedStep], Actor):
    """Records a CUDA graph of the step for each number of ticks and shape; see `drc_lab.learning.recording`."""

    without = "algo.rollouts.cuda_graph: acting without"

    def ready(self) -> AbstractContextManager[Any]:
        if self.recordings.failed:
            return super().ready()
        self.recordings.check()
        return nullcontext()  # not `Policy.frozen`: a recording must contain what the policy derives from its weights

    def act(
        self, obs: Shaped[Tensor, "B *obs"], carry: Any, resets: Bool[Tensor, "B"], repeats: int
    ) -> tuple[PolicyValue, Any]:
        given = obs, carry, resets
        recording = self.recordings.get(like(given, repeats), lambda: self._recording(given, repeats))
        if recording is None:
            return super().act(obs, carry, resets, repeats)
        for static, tensor in zip(recording.inputs, tree_leaves(given), strict=True):
            static.copy_(tensor, non_blocking=True)
        recording.replay()
        return tree_map(torch.clone, recording.outputs)

    def _recording(self, given: tuple[Shaped[Tensor, "B *obs"], Any, Bool[Tensor, "B"]], repeats: int) -> RecordedStep:
        device = next(self.policy.parameters()).device
        obs, carry, resets = static = tree_map(lambda x: copied(x, device), given)

        def step() -> tuple[PolicyValue, Any]:
            with torch.no_grad(), uncached_autocast(device):
                return self.policy.unroll(obs[None], carry, resets[None], (repeats,))

        recorder = self.recorder()
        recorder.warm_up(step)
        return RecordedStep(tree_leaves(static), *recorder.record(step))

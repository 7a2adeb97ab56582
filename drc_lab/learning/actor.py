"""The policy's step while experience is collected: as it is written, or replayed as a CUDA graph.

A step of a small net is hundreds of short kernels, and starting each from Python takes longer than running it. A CUDA
graph starts them all at once (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs). It is a recording: of
the same kernels, on the same addresses, for one shape and one number of ticks. What that asks for:

- Inputs are copied to where the recording reads them, outputs are copied from where it writes them: nothing that a
  caller holds is overwritten by the next replay.
- Weights are read where they lie, and optimizers change them in place. Where they have moved, a recording is void.
- What a policy derives from its weights (`Policy.frozen`) is computed anew in every replay: computed once outside,
  it would be what the weights were when the graph was recorded.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from drc_lab.models.policy import Policy, PolicyValue

Step = Callable[[], Any]  # reads and writes tensors that stay where they are
WARM_UP = 3  # steps before a recording: libraries choose algorithms and allocate what they keep


class Actor:
    """Acts with the present weights."""

    def __init__(self, policy: Policy):
        self.policy = policy

    def ready(self) -> AbstractContextManager:
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


class Recording(NamedTuple):
    """``replay`` reads the inputs and writes the outputs, always the same tensors."""

    inputs: list[Tensor]
    replay: Callable[[], None]
    outputs: Any


class GraphedActor(Actor):
    """Records the step once for each number of ticks and shape, and replays it.

    Args:
        policy: whose step takes its decisions from shapes alone, and moves nothing between CPU and GPU.
        say: is told in one line if a step cannot be recorded; it then runs as it is written.
        record: step -> how to replay it, and what it returned.
    """

    def __init__(
        self,
        policy: Policy,
        say: Callable[[str], None] = print,
        record: "Callable[[Step], tuple[Callable[[], None], Any]] | None" = None,
    ):
        super().__init__(policy)
        self.say, self.record = say, record or record_cuda_graph
        self.recordings: dict[Any, Recording] = {}
        self.failed = False
        self._recorded_with: Any = None

    def ready(self) -> AbstractContextManager:
        if self.failed:
            return super().ready()
        place = self.policy.training, *(t.data_ptr() for t in (*self.policy.parameters(), *self.policy.buffers()))
        if place != self._recorded_with:
            self.recordings, self._recorded_with = {}, place
        return nullcontext()  # not frozen

    def act(self, obs: Tensor, carry: Any, resets: Tensor, repeats: int) -> tuple[PolicyValue, Any]:
        given = tree_leaves((obs, carry, resets))
        key = repeats, *((tensor.shape, tensor.dtype) for tensor in given)
        if key not in self.recordings and not self.failed:
            try:
                self.recordings[key] = self._recording(obs, carry, resets, repeats)
            except RuntimeError as error:
                self.failed, self.recordings = True, {}
                reason = " ".join(str(first_cause(error)).split())
                self.say(
                    f"algo.rollouts.cuda_graph: acting without, as the policy's step cannot be recorded ({reason})"
                )
        if self.failed:
            return super().act(obs, carry, resets, repeats)
        recording = self.recordings[key]
        for static, tensor in zip(recording.inputs, given, strict=True):
            static.copy_(tensor, non_blocking=True)
        recording.replay()
        return tree_map(torch.clone, recording.outputs)

    def _recording(self, obs: Tensor, carry: Any, resets: Tensor, repeats: int) -> Recording:
        device = next(self.policy.parameters()).device
        static = tree_map(lambda x: torch.empty_like(x, device=device).copy_(x), (obs, carry, resets))
        own_obs, own_carry, own_resets = static

        def step() -> tuple[PolicyValue, Any]:
            # With its cache, autocast would hand the recording weights that it has cast before.
            kind = device.type
            autocast = torch.autocast(
                kind, torch.get_autocast_dtype(kind), torch.is_autocast_enabled(kind), cache_enabled=False
            )
            with torch.no_grad(), autocast:
                return self.policy.unroll(own_obs[None], own_carry, own_resets[None], (repeats,))

        replay, outputs = self.record(step)
        return Recording(tree_leaves(static), replay, outputs)


def first_cause(error: BaseException) -> BaseException:
    """What went wrong first: a capture that ends by an error raises another one as it is closed."""
    while error.__context__ is not None:
        error = error.__context__
    return error


def record_cuda_graph(step: Step) -> tuple[Callable[[], None], Any]:
    """Captures the step as PyTorch's notes on CUDA graphs ask for it, after a warm-up on a side stream.

    Raises:
        RuntimeError: the step waits for the GPU, or does something else that cannot be captured.
    """
    current, side = torch.cuda.current_stream(), torch.cuda.Stream()
    side.wait_stream(current)
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            step()
    current.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        # Only this thread's calls count: NCCL and others may query the GPU from theirs meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            outputs = step()
    finally:
        torch.cuda.set_stream(current)  # a capture that fails leaves its own as the current one
    return graph.replay, outputs

"""Records a policy's computation once as a CUDA graph and then replays it.

A step of a small net is hundreds of short kernels, and launching each from Python takes longer than running it. A CUDA
graph launches them all at once (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs). It always runs the
same kernels on the same memory addresses for the same shapes, which has these consequences:

- Inputs are copied into the tensors that the graph reads, and outputs are copied out of those that it writes, so that
  the next replay overwrites nothing that a caller holds.
- The graph reads the weights at their addresses, and optimizers change them in place. If the weights have moved, the
  graph is no longer valid.
- Values that a policy derives from its weights (`Policy.frozen`) are recomputed in every replay. If they were computed
  once outside the graph, they would stay those of the weights at recording time.
"""

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Generic, TypeVar

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.utils._pytree import tree_leaves

from drc_lab.models.policy import Policy

Work = Callable[[], Any]  # reads and writes tensors whose addresses stay the same
Kept = TypeVar("Kept")
WARM_UP = 3  # runs before a recording, in which libraries choose algorithms and allocate their buffers


class Recorder:
    """Records CUDA graphs as PyTorch's notes on them prescribe."""

    def warm_up(self, work: Work) -> None:
        """Runs the work a few times on a separate stream."""
        current, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                work()
        current.wait_stream(side)

    def record(self, work: Work) -> tuple[Callable[[], None], Any]:
        """Records the work.

        Returns:
            a function that replays it, and what the work returned, whose tensors every replay overwrites.

        Raises:
            RuntimeError: the work waits for the GPU, or does something else that cannot be captured.
        """
        current, graph = torch.cuda.current_stream(), torch.cuda.CUDAGraph()
        try:
            # thread_local: NCCL and others may query the GPU from their own threads during the capture.
            with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
                returned = work()
        finally:
            torch.cuda.set_stream(current)  # a failed capture leaves its own stream as the current one
        return graph.replay, returned

    @property
    def pool(self) -> Any:
        """A memory pool shared by this recorder's graphs, which must be replayed in the order of their recording."""
        if not hasattr(self, "_pool"):
            self._pool = torch.cuda.graph_pool_handle()
        return self._pool


class Replays(Generic[Kept]):
    """Base of classes that do some of a policy's work by replaying recordings.

    Args:
        policy: see `Recordings`.
        say: called with a one-line message if the work cannot be recorded.
        recorder: makes a `Recorder`.
    """

    without: ClassVar[str]  # the beginning of that message

    def __init__(
        self,
        policy: Policy,
        say: Callable[[str], None] = print,
        recorder: Callable[[], Recorder] = Recorder,
    ):
        self.policy, self.recorder = policy, recorder
        self.recordings: Recordings[Kept] = Recordings(policy, say, self.without)


class Recordings(Generic[Kept]):
    """Recordings of a policy's work by shapes and ticks, valid as long as its weights stay at their addresses.

    Args:
        policy: the policy. The control flow of its work must depend on shapes alone, and it must not move tensors
            between CPU and GPU.
        say: called with a one-line message if the work cannot be recorded; it then runs without CUDA graphs.
        what: the beginning of that message.
    """

    def __init__(self, policy: Policy, say: Callable[[str], None], what: str):
        self.policy, self.say, self.what = policy, say, what
        self.kept: dict[Hashable, Kept] = {}
        self.failed = False
        self._place: Any = None

    def check(self) -> None:
        """Discards all recordings if the weights have moved or the policy switched between train and eval mode."""
        place = self.policy.training, *(t.data_ptr() for t in (*self.policy.parameters(), *self.policy.buffers()))
        if place != self._place:
            self.kept, self._place = {}, place

    def get(self, key: Hashable, make: Callable[[], Kept]) -> Kept | None:
        """The recording of that key, made if it does not exist yet; None if the work cannot be recorded."""
        if key not in self.kept and not self.failed:
            try:
                self.kept[key] = make()
            except RuntimeError as error:
                self.failed, self.kept = True, {}
                reason = " ".join(str(first_cause(error)).split())
                self.say(f"{self.what}, as it cannot be recorded ({reason})")
        return self.kept.get(key)


def like(tree: Any, repeats: Any) -> Hashable:
    """A key that is equal for the same ticks and tensors of the same shapes and dtypes."""
    return repeats, *((tensor.shape, tensor.dtype) for tensor in tree_leaves(tree))


def uncached_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """The current autocast setting without its cache, from which a recording would take weights that were cast before.

    Such a recording would go on using these old copies of the weights.
    """
    kind = device.type
    enabled = torch.is_autocast_enabled(kind)
    return torch.autocast(kind, torch.get_autocast_dtype(kind), enabled, cache_enabled=False)


def copied(tensor: Shaped[Tensor, "*x"], device: torch.device) -> Shaped[Tensor, "*x"]:
    """A copy of a tensor on a device, for a recording to read; new inputs are copied into it before each replay."""
    return torch.empty_like(tensor, device=device, requires_grad=False).copy_(tensor.detach())


def first_cause(error: BaseException) -> BaseException:
    """The error that was raised first: a capture that fails raises another error when it is closed."""
    while error.__context__ is not None:
        error = error.__context__
    return error

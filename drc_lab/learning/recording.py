"""Work of a policy that is recorded once and then replayed: a CUDA graph.

A step of a small net is hundreds of short kernels, and starting each from Python takes longer than running it. A CUDA
graph starts them all at once (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs). It is a recording: of
the same kernels, on the same addresses, for the same shapes. What that asks for:

- Inputs are copied to where the recording reads them, outputs are copied from where it writes them: nothing that a
  caller holds is overwritten by the next replay.
- Weights are read where they lie, and optimizers change them in place. Where they have moved, a recording is void.
- What a policy derives from its weights (`Policy.frozen`) is computed anew in every replay: computed once outside,
  it would be what the weights were when the graph was recorded.
"""

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from drc_lab.models.policy import Policy

Work = Callable[[], Any]  # reads and writes tensors that stay where they are
Kept = TypeVar("Kept")
WARM_UP = 3  # times before a recording: libraries choose algorithms and allocate what they keep


class Recorder:
    """Records as PyTorch's notes on CUDA graphs ask for it."""

    def warm_up(self, work: Work) -> None:
        """Runs it a few times, on a stream of its own."""
        current, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                work()
        current.wait_stream(side)

    def record(self, work: Work) -> tuple[Callable[[], None], Any]:
        """How to replay it, and what it returned: tensors that every replay writes.

        Raises:
            RuntimeError: the work waits for the GPU, or does something else that cannot be captured.
        """
        current, graph = torch.cuda.current_stream(), torch.cuda.CUDAGraph()
        try:
            # Only this thread's calls count: NCCL and others may query the GPU from theirs meanwhile.
            with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
                returned = work()
        finally:
            torch.cuda.set_stream(current)  # a capture that fails leaves its own as the current one
        return graph.replay, returned

    @property
    def pool(self) -> Any:
        """Memory that recordings share which are always replayed in the order in which they were made."""
        if not hasattr(self, "_pool"):
            self._pool = torch.cuda.graph_pool_handle()
        return self._pool


class Replays(Generic[Kept]):
    """What does some of a policy's work by recordings.

    Args:
        policy: see `Recordings`.
        say: is told in one line if the work cannot be recorded.
        recorder: makes a `Recorder`.
    """

    without: ClassVar[str]  # how that line begins

    def __init__(
        self,
        policy: Policy,
        say: Callable[[str], None] = print,
        recorder: Callable[[], Recorder] = Recorder,
    ):
        self.policy, self.recorder = policy, recorder
        self.recordings: Recordings[Kept] = Recordings(policy, say, self.without)


class Recordings(Generic[Kept]):
    """Recordings of a policy's work, by shapes and ticks, while its weights stay where they are.

    Args:
        policy: whose work takes its decisions from shapes alone, and moves nothing between CPU and GPU.
        say: is told in one line, which ``what`` begins, if the work cannot be recorded; it then runs as it is written.
    """

    def __init__(self, policy: Policy, say: Callable[[str], None], what: str):
        self.policy, self.say, self.what = policy, say, what
        self.kept: dict[Hashable, Kept] = {}
        self.failed = False
        self._place: Any = None

    def check(self) -> None:
        """Forgets all if the weights have moved, or the policy has changed between training and evaluation."""
        place = self.policy.training, *(t.data_ptr() for t in (*self.policy.parameters(), *self.policy.buffers()))
        if place != self._place:
            self.kept, self._place = {}, place

    def get(self, key: Hashable, make: Callable[[], Kept]) -> Kept | None:
        """The recording, made if there is none; None if it cannot be."""
        if key not in self.kept and not self.failed:
            try:
                self.kept[key] = make()
            except RuntimeError as error:
                self.failed, self.kept = True, {}
                reason = " ".join(str(first_cause(error)).split())
                self.say(f"{self.what}, as it cannot be recorded ({reason})")
        return self.kept.get(key)


def like(tree: Any, repeats: Any) -> Hashable:
    """A key for tensors of the same shapes, and the same ticks."""
    return repeats, *((tensor.shape, tensor.dtype) for tensor in tree_leaves(tree))


def uncached_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """The present autocast; with its cache it would hand a recording weights that it has cast before."""
    kind = device.type
    enabled = torch.is_autocast_enabled(kind)
    return torch.autocast(kind, torch.get_autocast_dtype(kind), enabled, cache_enabled=False)


def copied(tensor: Tensor, device: torch.device) -> Tensor:
    """Where a recording reads what is then copied there before each replay."""
    return torch.empty_like(tensor, device=device, requires_grad=False).copy_(tensor.detach())


def first_cause(error: BaseException) -> BaseException:
    """What went wrong first: a capture that ends by an error raises another one as it is closed."""
    while error.__context__ is not None:
        error = error.__context__
    return error

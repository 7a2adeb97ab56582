"""Recordings of torch's operations on the CPU, in the place of CUDA graphs."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from drc_lab.learning.recording import Recorder


class Operations(TorchDispatchMode):
    """Notes every operation with its tensors; `replay` does them again on the same memory."""

    def __init__(self):
        super().__init__()
        self.done = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.done.append((func, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self):
        for func, args, kwargs, result in self.done:
            for old, new in zip(tree_leaves(result), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class CPURecorder(Recorder):
    """Records operations; nothing needs to warm up."""

    def warm_up(self, work):
        pass

    def record(self, work):
        with Operations() as operations:
            returned = work()
        return operations.replay, returned


class Refusing(CPURecorder):
    """Ends as a CUDA capture does that cannot be."""

    def record(self, work):
        try:
            raise RuntimeError("operation not permitted\nwhen stream is capturing")
        finally:
            raise RuntimeError("capture was invalidated")

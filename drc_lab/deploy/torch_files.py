"""Writes and runs a step as a program of `torch.export`, and a policy's weights alone."""

import copy
import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from drc_lab.deploy.step import Interface, PolicyStep
from drc_lab.models.policy import Policy
from drc_lab.saved_tensors import read_torch


@torch.no_grad()
def traced(step: PolicyStep) -> ExportedProgram:
    """Traces the step to a graph with a free batch size, without the source lines of the machine that exports."""
    example = step.interface.example(batch=2)  # the tracer would take sizes 0 and 1 for constants
    step(*example)  # fills the caches of constant planes first, so that they don't keep the tracer's tensors
    program = torch.export.export(step, example, dynamic_shapes=free_axes(step.interface))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def free_axes(interface: Interface) -> dict[str, Any]:
    """The batch axis of every input of a step, in the form of the tracer's ``dynamic_shapes``."""
    first, *others = ({0: Dim("batch")} for _ in interface.inputs)
    return {"obs": first} | ({"resets_and_carry": tuple(others)} if others else {})


def write_program(step: PolicyStep, path: Path) -> None:
    """Writes a .pt2 file for ``torch.export.load(path).module()``."""
    content = io.BytesIO()  # on a full disk torch would end the process with an error of C++
    torch.export.save(traced(step), content)
    path.write_bytes(content.getbuffer())


def write_weights(policy: Policy, path: Path, dtype: torch.dtype) -> None:
    """Writes a file of tensors by parameter name for ``torch.load(path, weights_only=True)``."""
    weights = {name: x.detach().cpu() for name, x in policy.state_dict().items()}
    content = io.BytesIO()
    torch.save({name: x.to(dtype) if x.is_floating_point() else x for name, x in weights.items()}, content)
    path.write_bytes(content.getbuffer())


def with_weights(policy: Policy, path: Path) -> Policy:
    """A copy of the policy with the weights of a file that `write_weights` wrote."""
    policy = copy.deepcopy(policy)
    policy.load_state_dict(read_torch(path))
    return policy


class TorchProgram:
    """Runs a .pt2 file in torch, one that this process wrote: torch executes code in such a file when it loads it."""

    def __init__(self, path: Path):
        self.module: Any = torch.export.load(path).module()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Takes `Interface.inputs` in that order, returns `Interface.outputs`."""
        with torch.no_grad():
            return tuple(self.module(*inputs))

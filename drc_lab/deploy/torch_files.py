"""A step as a program of `torch.export`, and a policy's bare weights."""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from drc_lab.deploy.step import Interface, PolicyStep
from drc_lab.models.policy import Policy


@torch.no_grad()
def traced(step: PolicyStep) -> ExportedProgram:
    """The step as a graph, with a free batch axis and no source lines of the machine that exported."""
    example = step.interface.example(batch=2)  # one or none would be taken for constants
    step(*example)  # fills the caches of constant planes, or those of the tracer would stay in them
    program = torch.export.export(step, example, dynamic_shapes=free_axes(step.interface))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def free_axes(interface: Interface) -> dict[str, Any]:
    """The batch axis of every input of a step, as the tracer wants it."""
    first, *others = ({0: Dim("batch")} for _ in interface.inputs)
    return {"obs": first} | ({"resets_and_carry": tuple(others)} if others else {})


def write_program(step: PolicyStep, path: Path) -> None:
    """A .pt2 file for ``torch.export.load(path).module()``."""
    torch.export.save(traced(step), path)


def write_weights(policy: Policy, path: Path, dtype: torch.dtype) -> None:
    """A file of tensors by parameter name for ``torch.load(path, weights_only=True)``."""
    weights = {name: x.detach().cpu() for name, x in policy.state_dict().items()}
    with path.open("wb") as file:  # opened here, a full disk is an OSError
        torch.save({name: x.to(dtype) if x.is_floating_point() else x for name, x in weights.items()}, file)


def with_weights(policy: Policy, path: Path) -> Policy:
    """The policy with the weights of a file."""
    policy = copy.deepcopy(policy)
    policy.load_state_dict(torch.load(path, weights_only=True))
    return policy


class TorchProgram:
    """A .pt2 file in torch."""

    def __init__(self, path: Path):
        self.module: Any = torch.export.load(path).module()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Takes and returns what `Interface` says."""
        with torch.no_grad():
            return tuple(self.module(*inputs))

"""Writes a policy in each export format and variant, and loads the files to run them."""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from drc_lab.deploy import onnx_files, torch_files
from drc_lab.deploy.policy import ExportedPolicy
from drc_lab.deploy.spec import BF16, FLOAT32, INT8_DYNAMIC
from drc_lab.deploy.step import Interface, PolicyStep
from drc_lab.errors import UserError
from drc_lab.files import written
from drc_lab.models.policy import Policy
from drc_lab.models.published import load, save_flax
from drc_lab.untrusted import opened

Play = tuple[Shaped[Tensor, "T B *obs"], Bool[Tensor, "T B"]]  # observations and resets
LARGEST = 2**33  # bytes of an exported file


def write(format: str, step: PolicyStep, paths: dict[str, Path], played: Callable[[], Play]) -> None:
    """Writes all variants, or none of them if one fails.

    Args:
        format: key of `FORMATS`.
        step: the step of the policy, in float32.
        paths: file of each variant.
        played: returns observations and resets of some play, on which static int8 scales are
            measured.

    Raises:
        UserError: a file cannot be written, or the format cannot represent the policy.
    """
    with ExitStack() as stack:
        parts = {variant: stack.enter_context(written(path)) for variant, path in paths.items()}
        if format == "onnx":
            _write_onnx(step, parts, played)
            return
        for variant, part in parts.items():
            dtype = torch.bfloat16 if variant == BF16 else torch.float32
            if format == "torch_export":
                torch_files.write_program(step.another().to(dtype), part)
            elif format == "state_dict":
                torch_files.write_weights(step.policy, part, dtype)
            else:
                save_flax(step.policy, part)


def _write_onnx(step: PolicyStep, parts: dict[str, Path], played: Callable[[], Play]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        float32 = Path(folder) / "float32.onnx"  # the other variants are made from it
        onnx_files.write_float32(step, float32)
        for variant, part in parts.items():
            if variant == FLOAT32:
                shutil.copyfile(float32, part)
            elif variant == BF16:
                onnx_files.write_bfloat16(float32, part)
            elif variant == INT8_DYNAMIC:
                onnx_files.write_int8_dynamic(float32, part)
            else:
                onnx_files.write_int8_static(float32, part, onnx_files.feeds(float32, step.interface, *played()))


def runner(format: str, path: Path, interface: Interface, policy: Policy) -> Policy:
    """Loads a file written by `write` as a policy; ``policy`` is the one that was exported.

    Raises:
        UserError: the file is not, or no longer, as it was written.
    """
    if format == "flax":
        return load(path)
    with opened(path, LARGEST):
        pass
    try:
        if format == "state_dict":
            return torch_files.with_weights(policy, path)
        program = onnx_files.OnnxProgram if format == "onnx" else torch_files.TorchProgram
        return ExportedPolicy(program(path), interface)
    except UserError:
        raise
    except Exception as error:  # damaged files make torch and onnxruntime raise errors of many types
        raise UserError(f"{path}: no whole file of format={format} ({' '.join(str(error).split()):.200})") from error

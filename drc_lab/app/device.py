"""The device and the precision that a policy computes with: ``trainer.accelerator``, ``policy.recurrent_precision``."""

from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from drc_lab.app.start import say
from drc_lab.arguments import errors_under
from drc_lab.errors import ConfigError, UserError
from drc_lab.models.drc_core import DRCStack
from drc_lab.models.policy import Policy
from drc_lab.models.precision import has_bfloat16
from drc_lab.models.specs import check_precision

PRECISION = "policy.recurrent_precision"


def check_accelerator(accelerator: Any) -> None:
    """Checks that torch has the GPU that is asked for. Lightning's own error says neither what it found nor what to do.

    Raises:
        ConfigError: a GPU is asked for and torch sees none.
    """
    if accelerator not in ("gpu", "cuda") or torch.cuda.is_available():
        return
    if accelerator == "gpu" and torch.backends.mps.is_available():
        return
    version, cuda = torch.__version__, torch.version.cuda or torch.version.hip
    why = f"torch {version} sees no GPU" if cuda else f"torch {version} is built without CUDA"
    allowed = f"cpu | auto, as {why}; {accelerator} needs a torch build with CUDA and a visible GPU"
    raise ConfigError("trainer.accelerator", accelerator, allowed)


def device_of(accelerator: Any) -> torch.device:
    """Returns a single device of the kind that ``trainer.accelerator`` names.

    Raises:
        UserError: this machine has no such device.
    """
    check_accelerator(accelerator)
    if accelerator in ("cpu", "auto") and not torch.accelerator.is_available():
        return torch.device("cpu")
    try:
        import lightning as L  # importing it takes seconds, and the CPU does not need it

        return L.Fabric(accelerator=str(accelerator), devices=1).device
    except Exception as error:  # Lightning raises several kinds of exceptions
        raise UserError(f"trainer.accelerator: {' '.join(str(error).split())}") from error


def check_trainable(policy: Policy, device: torch.device) -> None:
    """Checks that the device can train in the policy's precision. Falling back to another precision, as evaluations do,
    would silently make it another training.

    Raises:
        ConfigError: the policy asks for bfloat16 and the device has no instructions for it.
    """
    if wants_bfloat16(policy) and not has_bfloat16(device):
        raise ConfigError(PRECISION, "bfloat16", f"float32, as this {device.type} has no instructions for bfloat16")


def set_precision(policy: Policy, config: DictConfig, device: torch.device) -> None:
    """Sets a trained policy's precision if the command line does; else it stays as it was in training. If the device
    has no instructions for it, says that the policy computes in float32.

    Raises:
        ConfigError: the command line asks for a precision that this policy cannot run in.
    """
    stack = getattr(policy, "stack", None)
    if isinstance(stack, DRCStack) and any(o.startswith(f"{PRECISION}=") for o in HydraConfig.get().overrides.task):
        precision = str(config.policy.recurrent_precision)
        with errors_under("policy"):
            check_precision(precision, stack.channels, stack.wiring)
        stack.recurrent_precision = precision
    if wants_bfloat16(policy) and not has_bfloat16(device):
        say(f"{PRECISION}: this {device.type} has no instructions for bfloat16, so the policy computes in float32")


def wants_bfloat16(policy: Policy) -> bool:
    """Whether the policy asks for its recurrence to run in bfloat16."""
    stack = getattr(policy, "stack", None)
    return isinstance(stack, DRCStack) and stack.recurrent_precision == "bfloat16"

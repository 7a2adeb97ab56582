"""The key policy.recurrent_precision, in training and for trained policies."""

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from drc_lab.app.start import say
from drc_lab.arguments import errors_under
from drc_lab.errors import ConfigError
from drc_lab.models.drc_core import DRCStack
from drc_lab.models.policy import Policy
from drc_lab.models.precision import has_bfloat16
from drc_lab.models.specs import check_precision

KEY = "policy.recurrent_precision"


def check_trainable(policy: Policy, device: torch.device) -> None:
    """Checks that the device can train in the policy's precision. Falling back to another precision, as evaluations do,
    would silently make it another training.

    Raises:
        ConfigError: the policy asks for bfloat16 and the device has no instructions for it.
    """
    if wants_bfloat16(policy) and not has_bfloat16(device):
        raise ConfigError(KEY, "bfloat16", f"float32, as this {device.type} has no instructions for bfloat16")


def set_precision(policy: Policy, config: DictConfig, device: torch.device) -> None:
    """Sets a trained policy's precision if the command line does; else it stays as it was in training. If the device
    has no instructions for it, says that the policy computes in float32.

    Raises:
        ConfigError: the command line asks for a precision that this policy cannot run in.
    """
    stack = getattr(policy, "stack", None)
    if isinstance(stack, DRCStack) and any(o.startswith(f"{KEY}=") for o in HydraConfig.get().overrides.task):
        precision = str(config.policy.recurrent_precision)
        with errors_under("policy"):
            check_precision(precision, stack.channels, stack.wiring)
        stack.recurrent_precision = precision
    if wants_bfloat16(policy) and not has_bfloat16(device):
        say(f"{KEY}: this {device.type} has no instructions for bfloat16, so the policy computes in float32")


def wants_bfloat16(policy: Policy) -> bool:
    """Whether the policy asks for its recurrence to run in bfloat16."""
    stack = getattr(policy, "stack", None)
    return isinstance(stack, DRCStack) and stack.recurrent_precision == "bfloat16"

"""The device that ``trainer.accelerator`` names."""

from typing import Any

import torch

from drc_lab.errors import ConfigError, UserError


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

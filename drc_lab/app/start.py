"""How every task starts: it sets the process up from the config and has a console to print to."""

from dataclasses import asdict
from typing import Any

import torch
from omegaconf import DictConfig

from drc_lab.app.checked import process_spec
from drc_lab.errors import ConfigError
from drc_lab.process import quieten_libraries, start_process
from drc_lab.progress import console
from drc_lab.ranks import rank

__all__ = ["check_accelerator", "console", "say", "start"]


def say(text: str) -> None:
    """Prints a line for the user as plain text, without markup, highlighting or wrapping."""
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def start(config: DictConfig) -> int:
    """Sets up the process by ``seed``, ``threads`` and related keys; returns the checked seed. Only rank 0 prints."""
    spec = process_spec(config)
    start_process(**asdict(spec))
    quieten_libraries()
    console.quiet = rank() > 0
    return spec.seed


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

"""How every task begins: the console it prints to, and the process set up as the config says."""

from omegaconf import DictConfig

from drc_lab.arguments import check_types
from drc_lab.launch import rank
from drc_lab.process import quieten_libraries, start_process
from drc_lab.progress import console

__all__ = ["console", "say", "start"]


def say(text: str) -> None:
    """A line for the user, as it is."""
    console.print(text, soft_wrap=True, markup=False, highlight=False)


def start(config: DictConfig) -> int:
    """Sets the process up as ``seed``, ``threads`` and other keys say; the checked seed. Only one rank prints."""
    keys = ("seed", "threads", "matmul_precision", "deterministic")
    values = check_types(start_process, {key: config[key] for key in keys if key in config}, "")
    start_process(**values)
    quieten_libraries()
    console.quiet = rank() > 0
    return values["seed"]

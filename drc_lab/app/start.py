"""How every task starts: it sets the process up from the config and has a console to print to."""

from dataclasses import asdict

from drc_lab.app.settings import Settings
from drc_lab.errors import printable
from drc_lab.process import quieten_libraries, start_process
from drc_lab.progress import console
from drc_lab.ranks import rank

__all__ = ["console", "say", "start"]


def say(text: str) -> None:
    """Prints a line for the user as plain text, without markup, highlighting or wrapping."""
    console.print(printable(text), soft_wrap=True, markup=False, highlight=False)


def start(settings: Settings) -> None:
    """Sets up the process by ``seed``, ``threads`` and related keys. Only rank 0 prints."""
    start_process(**asdict(settings.process))
    quieten_libraries()
    console.quiet = rank() > 0

"""task=register: makes a run's best checkpoint a version of a registered model, which can then be used by name.

python -m drc_lab task=register register.run=NAME
"""

from pathlib import Path

from drc_lab.app.settings import Settings
from drc_lab.app.start import console
from drc_lab.app.store import reading
from drc_lab.arguments import errors_under
from drc_lab.process import quieten_libraries
from drc_lab.progress import working
from drc_lab.tracking.register import register


def main(settings: Settings, folder: Path) -> None:
    """Registers the checkpoint and prints its new name."""
    quieten_libraries()
    spec = settings.register
    with reading(settings.config) as client, working("registering"), errors_under("register"):
        version = register(client, spec)
    name = f"models:/{version.name}" + (f"@{spec.alias}" if spec.alias else f"/{version.version}")
    console.print(f"{version.name} version {version.version}: {version.description}", soft_wrap=True, highlight=False)
    console.print(f"python -m drc_lab task=play checkpoint={name}", soft_wrap=True, highlight=False)

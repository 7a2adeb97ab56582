"""task=sync: sends to MLflow what a run recorded while the server was away.

python -m drc_lab task=sync folder=FOLDER
"""

from pathlib import Path

from drc_lab.app.settings import Settings
from drc_lab.app.start import say
from drc_lab.app.task_checks import check_journal
from drc_lab.process import quieten_libraries
from drc_lab.tracking.rest import send


def main(settings: Settings, folder: Path) -> None:
    """Sends the part of the folder's journal that MLflow does not have yet."""
    quieten_libraries()
    send_rest(folder, settings.tracking.uri)


def send_rest(folder: Path, given: str | None = None) -> None:
    """`send` for a folder that may be none of a run; prints where the run can be viewed.

    Raises:
        UserError: see there.
    """
    check_journal(folder)
    say(f"MLflow has all of it: {send(folder, given, say)}")

"""task=sync: sends to MLflow what a run recorded while the server was away.

python -m drc_lab task=sync folder=FOLDER
"""

from pathlib import Path

from drc_lab.app.settings import Settings
from drc_lab.app.start import console, say
from drc_lab.app.task_checks import check_journal
from drc_lab.errors import UserError
from drc_lab.passwords import hidden
from drc_lab.process import quieten_libraries
from drc_lab.progress import working
from drc_lab.tracking.journal import FILE, Journal
from drc_lab.tracking.mlflow import SQLITE, Away, Store, in_one_line
from drc_lab.tracking.run import to_mlflow


def main(settings: Settings, folder: Path) -> None:
    """Sends the part of the folder's journal that MLflow does not have yet."""
    quieten_libraries()
    send_rest(folder, settings.tracking.uri)


def send_rest(folder: Path, given: str | None = None) -> None:
    """Sends the part of a folder's journal that MLflow does not have yet, the status last. A journal without a status
    is that of a process that was killed, and the run becomes KILLED.

    Args:
        folder: the run's folder.
        given: the store's URI with the password that the journal lacks, if it is known.

    Raises:
        UserError: there is no such run, it is still running, or its store is away.
    """
    check_journal(folder)
    with Journal(folder / FILE) as journal:
        experiment_id, run_id = journal.run.get("experiment_id"), journal.run.get("run_id")
        if experiment_id is None or run_id is None:
            raise UserError(f"folder: the run in {str(folder)!r} was recorded without MLflow")
        uri = store_now(journal.run["uri"], folder)
        if given is not None and hidden(Store(given).uri) == uri:
            uri = given  # which may have the password that the journal lacks
        store = Store(uri)
        store.check_run(run_id)
        if not journal.ended:
            journal.add("status", status="KILLED")
        try:
            with working("sending to MLflow"):
                to_mlflow(journal, store, say, outside=False).flush()
        except (Away, OSError) as error:
            raise Away(f"MLflow at {store.name} does not have all of it: {in_one_line(error)}") from error
    console.print(f"MLflow has all of it: {store.pages(experiment_id, run_id)}", soft_wrap=True)


def store_now(uri: str, folder: Path) -> str:
    """Returns the URI of a run's store. An SQLite file that was moved together with the run's folder is looked for in
    the folders above it.

    Raises:
        UserError: the SQLite file is not found.
    """
    file = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE) or file.is_file():
        return uri
    for parent in folder.resolve().parents:
        if (parent / file.name).is_file():
            return f"{SQLITE}{parent / file.name}"
    raise UserError(f"folder: the run in {str(folder)!r} was recorded in {file}, which is not there")

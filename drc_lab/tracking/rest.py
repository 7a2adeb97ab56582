"""Sends what another process has recorded, and ends its run: one that could not reach MLflow, or was killed."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from drc_lab.errors import RankLost, UserError, printable
from drc_lab.passwords import hidden
from drc_lab.progress import working
from drc_lab.ranks import rank
from drc_lab.tracking.journal import FILE, Journal
from drc_lab.tracking.mlflow import Away, Store, in_one_line
from drc_lab.tracking.run import Say, to_mlflow
from drc_lab.tracking.sqlite import SQLITE

SECONDS = 1.0  # within which a process that broke off an exchange between ranks is gone


def send(folder: Path, given: str | None = None, say: Say = print) -> str:
    """Sends the part of a folder's journal that MLflow does not have yet, the status last. A journal without a status
    is that of a process that was killed, and the run becomes KILLED.

    Args:
        folder: the run's folder.
        given: the store's URI with the password that the journal lacks, if it is known.
        say: called with one-line messages.

    Returns:
        where a user can view the run.

    Raises:
        UserError: there is no such run, it is still running, or its store is away.
    """
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
    return store.pages(experiment_id, run_id)


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


@contextmanager
def ended_for_rank_0(folder: Path, given: str | None, advice: Callable[[], str]) -> Iterator[None]:
    """Within this context another rank than 0 ends the run of rank 0 as KILLED, if that started it and was killed.

    Args:
        folder: of the run.
        given: the store's URI.
        advice: returns the end of the message, which rank 0 would print.
    """
    parent = os.getppid()
    try:
        yield
    except RankLost:
        deadline = time.monotonic() + SECONDS
        while rank() and os.getppid() == parent and time.monotonic() < deadline:
            time.sleep(0.05)  # an exchange with it ends before it does; or it lives, and ends this process
        if rank() and os.getppid() != parent:
            print(printable(f"drc_lab: rank 0 (process {parent}) was killed; {advice()}"), file=sys.stderr, flush=True)
            with suppress(UserError):  # another rank was faster, or the store is away: task=sync sends it then
                send(folder, given)
        raise

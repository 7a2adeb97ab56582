"""Repairs an SQLite store that was moved together with its artifacts: MLflow saves absolute paths of all files."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

from drc_lab.errors import UserError, note
from drc_lab.tracking.schema import BUSY_SECONDS

PLACES = (  # tables and columns
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)


def follow(store: Path) -> None:
    """Updates the artifact paths of a store whose artifacts were moved along with it, and says so in one line.

    Args:
        store: an SQLite file with MLflow's tables.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        with closing(sqlite3.connect(store, timeout=BUSY_SECONDS)) as database, database:
            for (old,) in database.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall():
                new = store.resolve().parent / Path(unquote(urlparse(old or "").path)).name
                if str(old).startswith("file://") and _moved(database, old, new):
                    for table, column in PLACES:
                        database.execute(
                            f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                            f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                            (new.as_uri(), len(old) + 1, old, len(old) + 1, f"{old}/"),
                        )
                    note(f"{store} was moved with its artifacts: they are now looked for in {new}")
    except sqlite3.Error as error:
        raise UserError(f"{store}: {error}") from error


def _moved(database: sqlite3.Connection, old: str, new: Path) -> bool:
    """Whether the old folder is gone and the new one has the folder of at least one of its runs."""
    if not new.is_dir() or Path(unquote(urlparse(old).path)).exists():
        return False
    runs = database.execute("SELECT run_uuid FROM runs WHERE substr(artifact_uri, 1, ?) = ?", (len(old) + 1, f"{old}/"))
    return any((new / run).is_dir() for (run,) in runs)

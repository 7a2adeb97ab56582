"""SQLite files as stores, in folders of any name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking import MlflowClient
from sqlalchemy import URL, make_url

from drc_lab.files import remove_empty

SQLITE = "sqlite:///"


def uri_of_file(path: Path) -> str:
    """The URI by which SQLAlchemy opens a file, written plainly unless that means another file.

    Since version 2.1 SQLAlchemy takes ``%20`` in it for a space, and always what follows ``?`` for settings.
    """
    plain = f"{SQLITE}{path}"
    if make_url(plain).database == str(path):
        return plain
    return URL.create("sqlite", database=str(path)).render_as_string()


@contextmanager
def for_mlflow(path: Path) -> Iterator[str]:
    """Yields the URI by which MLflow opens a file within the context.

    MLflow also makes the folder that the URI names as it stands; if that is not the file's, it is removed again.
    """
    uri = uri_of_file(path)
    named = Path(uri.removeprefix(SQLITE)).parent
    stray = named != path.parent and not named.exists()
    try:
        yield uri
    finally:
        if stray:
            remove_empty(named)


def make_tables(path: Path) -> None:
    """Makes a file with MLflow's tables and its experiment "Default".

    MLflow would paste the current folder into a statement as it stands, where a quote or a colon in it is a mistake; in
    a URI both are escaped.
    """
    with for_mlflow(path) as uri:
        SqlAlchemyStore(uri, Path("mlruns").absolute().as_uri())


def client_of_file(path: Path) -> MlflowClient:
    """MLflow's client of a file that has its tables."""
    with for_mlflow(path) as uri:
        return MlflowClient(uri)

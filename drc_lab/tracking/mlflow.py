"""The MLflow store, and the creation of experiments and runs with their tags."""

import hashlib
import logging
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

from mlflow.entities import RunStatus
from mlflow.exceptions import MlflowException
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.store.db.utils import create_sqlalchemy_engine
from mlflow.tracking import MlflowClient
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.file_utils import ExclusiveFileLock
from mlflow.utils.mlflow_tags import MLFLOW_GIT_COMMIT, MLFLOW_RUN_NOTE
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from drc_lab.errors import ConfigError, UserError
from drc_lab.files import written
from drc_lab.passwords import hidden, hidden_in, without_hidden
from drc_lab.tracking.descriptions import STUDY
from drc_lab.tracking.environment import set_defaults
from drc_lab.tracking.moved import follow
from drc_lab.tracking.schema import check_schema
from drc_lab.tracking.sqlite import SQLITE, client_of_file, make_tables, uri_of_file

PLACE = "drc_lab.place"  # tag: a digest of machine and folder
NAME = re.compile(r"[\w./: -]+")  # what MLflow accepts as part of a param's name
# These loggers report every failed attempt to reach a server; the sender reports only the first.
TALKATIVE = ("mlflow.store.db.utils", "mlflow.exceptions", "urllib3.connectionpool")
REASON_LENGTH = 300  # most characters of a library's message; a web server may answer with a whole page


class Away(UserError):
    """The store does not answer now, but may later."""


class Store:
    """Where MLflow keeps its runs: a database or a server, which may be unreachable.

    Args:
        uri: MLflow's tracking URI.

    Attributes:
        uri: the URI in a form that does not depend on the working folder, with its password.
        name: the URI as it was given, but without a password.
    """

    def __init__(self, uri: str):
        self.name = hidden(uri)
        uri = without_hidden(uri)  # as it stands in journals, and in commands that were copied from the screen
        if uri.startswith(SQLITE):
            uri = f"{SQLITE}{Path(uri.removeprefix(SQLITE)).resolve()}"
        # Name the driver that drc-lab[postgres] installs, because SQLAlchemy 2.1 changed its default driver.
        self.uri = re.sub("^postgres(ql)?://", "postgresql+psycopg2://", uri)

    @property
    def file(self) -> Path | None:
        """The store's SQLite file; None if it is something else."""
        return Path(self.uri.removeprefix(SQLITE)) if self.uri.startswith(SQLITE) else None

    @cached_property
    def client(self) -> MlflowClient:
        """A client of the store, made on first use.

        An SQLite file and its folder are created if needed; if the file was moved, its artifact paths are updated.

        Raises:
            UserError: MLflow does not support this kind of store, it is of another version of MLflow, or its file was
                moved and cannot be written.
            Away: the store is a database that does not answer. A server is not contacted before the first call.
        """
        set_defaults()
        for name in TALKATIVE:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            with self._alone():
                if self.file is not None and not self.file.exists():
                    with written(self.file) as part:  # MLflow cannot use a file whose creation was interrupted
                        make_tables(part)
                if self.uri.startswith(tuple(DATABASE_ENGINES)):
                    self._knock()
                client = MlflowClient(self.uri) if self.file is None else client_of_file(self.file)
                if self.file is not None:
                    follow(self.file)
                return client
        except OperationalError as error:
            raise Away(self.complaint(error)) from error
        except (MlflowException, ImportError, SQLAlchemyError) as error:
            raise UserError(self.complaint(error)) from error

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Turns MLflow's errors within the context into one line, as an `Away`."""
        try:
            yield
        except MlflowException as error:
            raise Away(self.complaint(error)) from error

    def complaint(self, error: Exception) -> str:
        """One line about an error that this store led to."""
        return f"tracking.uri: found {self.name!r}: {in_one_line(error)}"

    def begin_run(
        self, artifacts: str | None, experiment: str, name: str | None, tags: Mapping[str, str], folder: Path
    ) -> tuple[str, str]:
        """Creates a run, and its experiment if it does not exist.

        An empty running run of the same folder is reused: its process was killed before it could write down the id.

        Args:
            artifacts: where a new experiment keeps its artifacts, see `TrackingSpec`.
            experiment, name, tags: the run's experiment, name and tags.
            folder: the run's folder.

        Returns:
            the ids of the experiment and of the run.

        Raises:
            Away: the store does not answer.
            ConfigError: the experiment was deleted.
        """
        client = self.client
        with self.answering():
            existing = client.get_experiment_by_name(experiment)
            if existing is None:
                try:
                    client.create_experiment(experiment, self._artifact_location(artifacts), {MLFLOW_RUN_NOTE: STUDY})
                except MlflowException:  # another job may have created it meanwhile
                    if client.get_experiment_by_name(experiment) is None:
                        raise
                existing = client.get_experiment_by_name(experiment)
            assert existing is not None
            if existing.lifecycle_stage == "deleted":
                raise ConfigError("study", experiment, "another name: that experiment was deleted in MLflow")
            place = hashlib.sha256(f"{platform.node()}:{folder.resolve()}".encode()).hexdigest()[:16]
            begun = client.search_runs([existing.experiment_id], f"tags.`{PLACE}` = '{place}' and status = 'RUNNING'")
            for run in begun:
                if not (run.data.params or run.data.metrics):
                    return existing.experiment_id, run.info.run_id
            tags = hidden_in({**tags, **git_tags(), PLACE: place})
            name = None if name is None else hidden(name)
            run = client.create_run(existing.experiment_id, tags=resolve_tags(tags), run_name=name)
        if not run.info.run_id:
            raise Away(f"tracking.uri: found {self.name!r}, which answers, but not as a server of MLflow does")
        return existing.experiment_id, run.info.run_id

    def check_run(self, run_id: str) -> None:
        """Checks that a run can be resumed in this store.

        Raises:
            Away: the store does not answer.
            UserError: the store has no such run, or the run was deleted.
        """
        try:
            run = self.client.get_run(run_id)
        except MlflowException as error:
            if error.get_http_status_code() == 404:
                allowed = f"the store of run {run_id}, which this folder is of"
                raise ConfigError("tracking.uri", self.name, allowed) from None
            raise Away(self.complaint(error)) from error
        if run.info.lifecycle_stage == "deleted":
            raise UserError(f"tracking.uri: run {run_id}, which this folder is of, was deleted in MLflow")

    def pages(self, experiment_id: str, run_id: str) -> str:
        """Where a user can view a run: an address, or a command."""
        if self.uri.startswith("http"):
            return f"{self.name.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"
        return "make ui" if self.uri.startswith(SQLITE) else self.name

    def _artifact_location(self, artifacts: str | None) -> str | None:
        if artifacts is None or "://" in artifacts:
            return artifacts
        served = self.uri.startswith(("http://", "https://", "databricks"))
        return None if served else Path(artifacts).resolve().as_uri()

    def _knock(self) -> None:
        """Tries once to connect to the database, where MLflow would try for minutes; see `check_schema`."""
        engine = create_sqlalchemy_engine(self.uri if self.file is None else uri_of_file(self.file))
        try:
            check_schema(engine, self.name)
        finally:
            engine.dispose()

    def _alone(self) -> AbstractContextManager[Any]:
        """A lock among the processes of this machine: two that create a database's tables at once would conflict."""
        if self.uri.startswith("http"):
            return nullcontext()
        digest = hashlib.sha256(self.uri.encode()).hexdigest()[:16]
        return ExclusiveFileLock(f"{tempfile.gettempdir()}/drc_lab-{os.getuid()}-{digest}.lock")


def in_one_line(error: Exception) -> str:
    """The message of a library's error in one line, of at most `REASON_LENGTH` characters and without passwords."""
    cause = error.__cause__ if isinstance(error, MlflowException) else error
    of_driver = getattr(cause, "orig", None)  # SQLAlchemy adds the whole statement
    text = hidden(" ".join(str(of_driver or error).split())) or type(error).__name__
    return text if len(text) <= REASON_LENGTH else f"{text[: REASON_LENGTH - 1]}…"


def end_status(error: BaseException | None) -> str:
    """The status of a run that ended with this error: FINISHED (None), KILLED (Ctrl-C, SIGTERM) or FAILED (others)."""
    if error is None:
        return RunStatus.to_string(RunStatus.FINISHED)
    return RunStatus.to_string(RunStatus.KILLED if isinstance(error, KeyboardInterrupt) else RunStatus.FAILED)


def git_tags() -> dict[str, str]:
    """Tags with the git commit of the working folder and whether it has changes; empty outside a repository."""

    def git(*args: str) -> str:
        return subprocess.run(("git", *args), capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        return {MLFLOW_GIT_COMMIT: git("rev-parse", "HEAD"), "git.dirty": str(bool(git("status", "--porcelain")))}
    except (OSError, subprocess.SubprocessError):
        return {}


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys. A mapping with keys that MLflow refuses as names stays a single value."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and all(NAME.fullmatch(str(inner)) for inner in value):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat

"""Whether MLflow can use a database as it is. MLflow itself would change one of an older version without asking."""

import shlex
from pathlib import Path

import mlflow
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from drc_lab.errors import UserError

MIGRATIONS = Path(mlflow.__file__).parent / "store/db_migrations"
BUSY_SECONDS = 20  # how long a locked SQLite file is waited for; MLflow waits as long for each operation


def check_schema(engine: Engine, name: str) -> None:
    """Checks that a database has MLflow's tables as the installed version makes them, or none yet.

    Args:
        engine: SQLAlchemy's engine of the database.
        name: the database's URI for messages.

    Raises:
        UserError: the tables are those of another version.
        SQLAlchemyError: the database does not answer, or is none.
    """
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {1000 * BUSY_SECONDS}")
        if not inspect(connection).has_table("experiments"):
            return
        revision = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory(str(MIGRATIONS))
    if revision == scripts.get_current_head():
        return
    ours = f"MLflow {mlflow.__version__}"
    if revision in {script.revision for script in scripts.walk_revisions()}:
        what = f"those of an older version, allowed: {ours}. Copy it, then:  mlflow db upgrade {shlex.quote(name)}"
    elif revision is None:
        what = f"incomplete, allowed: those of {ours}, or a new database"
    else:
        what = f"those of a newer version, allowed: {ours}. pip install --upgrade mlflow, or take another database"
    raise UserError(f"tracking.uri: found {name!r}, whose tables are {what}")

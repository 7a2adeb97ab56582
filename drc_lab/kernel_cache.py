"""Where numba keeps compiled code between processes: the first of a few folders in which files can be written."""

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from numba.misc.appdirs import AppDirs

from drc_lab.errors import note, reason

OF_USER = "NUMBA_CACHE_DIR"  # environment variable


def cache_folder(package: Path, digest: str) -> Path | None:
    """A folder for compiled code that exists and takes files.

    It lies in what NUMBA_CACHE_DIR names, else in the package, in the user's folder of caches, or in a temporary folder
    that is this user's alone.

    One line says so where NUMBA_CACHE_DIR cannot be used, and where there is no place at all.

    Args:
        package: folder of the package.
        digest: of the sources, each of which has a folder of its own.

    Returns:
        the folder; None if nothing can be kept.
    """
    for folder in _candidates(package):
        place = folder / f"numba-{digest}"
        try:
            place.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place):
                return place
        except OSError as error:
            if folder == Path(os.environ.get(OF_USER) or ""):
                note(f"{OF_USER}: {folder}: {reason(error)}; compiled code is kept elsewhere")
    note(f"compiled code is kept nowhere, and each process compiles anew; {OF_USER}=FOLDER keeps it")
    return None


def _candidates(package: Path) -> Iterator[Path]:
    if given := os.environ.get(OF_USER):
        yield Path(given)
    yield package / "__pycache__"
    own = Path(AppDirs("drc_lab", appauthor=False).user_cache_dir)
    if own.is_absolute():  # it begins with a ~ where nobody knows the user's home
        yield own
    if (temporary := _private_temporary()) is not None:
        yield temporary


def _private_temporary() -> Path | None:
    """A temporary folder of this user's that outlives the process; None where another user could put code into it."""
    if not hasattr(os, "getuid"):
        return None
    folder = Path(tempfile.gettempdir()) / f"drc_lab-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    return folder if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o77 else None

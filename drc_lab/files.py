"""Files and folders that appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drc_lab.errors import UserError


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A name to write a file or folder under, which becomes ``path`` at the end.

    Raises:
        UserError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as folder:
            part = Path(folder) / path.name  # some writers put the name into the file
            yield part
            os.replace(part, path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def writable(path: Path) -> None:
    """Makes the folder of a file that is to be written, before the work and not after it.

    Raises:
        UserError: nothing can be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def remove_empty(folder: Path) -> None:
    """Removes a folder if it is empty, then its parents as far as that leaves them empty."""
    for path in (folder, *folder.parents):
        if path.resolve() == Path.cwd() or not path.is_dir() or any(path.iterdir()):
            break
        path.rmdir()

"""Files and folders that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drc_lab.errors import UserError

UNFINISHED = ".unfinished-"


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A name to write a file or folder under, which becomes ``path`` at the end.

    A file is on the disk before it takes the place of another: not even a power cut leaves half of it.

    Raises:
        UserError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=UNFINISHED) as folder:
            part = Path(folder) / path.name  # some writers put the name into the file
            yield part
            if part.is_file():
                _to_disk(part)
            os.replace(part, path)
            _to_disk(path.parent)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def _to_disk(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link(source: Path, path: Path) -> None:
    """Gives a file a second name, in place of what had it; a copy where there are no hard links.

    Raises:
        UserError: it cannot be written there.
    """
    with written(path) as part:
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)


def remove_unfinished(folder: Path) -> None:
    """Removes what `written` left in a folder, and in those in it, when its process was killed."""
    for path in list(folder.rglob(f"{UNFINISHED}*")):
        shutil.rmtree(path, ignore_errors=True)


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

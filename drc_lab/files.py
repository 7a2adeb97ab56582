"""Atomic writing of files and folders: they appear completely or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drc_lab.errors import CannotWrite, UserError, reason

UNFINISHED = ".unfinished-"


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Writes a file or folder atomically.

    The new content is written to the disk before it replaces the old file, so that not even a power failure leaves an
    incomplete one.

    Yields:
        a temporary path to write to, which is renamed to ``path`` when the context ends without an error.

    Raises:
        CannotWrite: ``path`` cannot be written. What was there stays, and nothing else is left.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=UNFINISHED) as folder:
            part = Path(folder) / path.name  # the same name, because some file formats contain it
            yield part
            if part.is_file():
                _to_disk(part)
            os.replace(part, path)
            _to_disk(path.parent)
    except OSError as error:
        raise CannotWrite(f"{path}: {reason(error)}") from None


def _to_disk(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def link(source: Path, path: Path) -> None:
    """Gives a file a second name ``path``, which replaces an existing file; copies it if hard links are not supported.

    Raises:
        CannotWrite: ``path`` cannot be written.
    """
    with written(path) as part:
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)


def remove_unfinished(folder: Path) -> None:
    """Removes the temporary files that killed processes left in `written`, in a folder and all its subfolders."""
    for path in list(folder.rglob(f"{UNFINISHED}*")):
        shutil.rmtree(path, ignore_errors=True)


def writable(path: Path) -> None:
    """Creates the folder of an output file and checks that it is writable, before the work whose result goes there.

    Raises:
        UserError: nothing can be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"{path}: {reason(error)}") from None


def is_name(text: str) -> bool:
    """Whether a text names a file within a folder: not a path that leads elsewhere."""
    return text not in ("", ".", "..") and not set(text) & set("/\\\0")


def size_of(path: Path) -> int:
    """Size in bytes of a file, or of all files in a folder."""
    return path.stat().st_size if path.is_file() else sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


def remove_empty(folder: Path) -> None:
    """Removes a folder if it is empty, then each parent that becomes empty by that."""
    for path in (folder, *folder.parents):
        if path.name == "..":  # of a/../b, both were made
            continue
        if path.resolve() == Path.cwd() or not path.is_dir() or any(path.iterdir()):
            break
        try:
            path.rmdir()
        except OSError:  # the disk was made read-only, or another process was faster
            break

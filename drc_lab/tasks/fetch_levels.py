"""task=fetch_levels: downloads the Boxoban levels, checks them, and puts them where the Sokoban env looks for them.

python -m drc_lab task=fetch_levels
"""

import hashlib
import re
import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from rich.console import Console

from drc_lab.app.settings import Settings
from drc_lab.app.task_checks import check_sha256, levels_source
from drc_lab.archives import unpacking
from drc_lab.download import download, forget
from drc_lab.envs.sokoban.files import ADVICE, LevelFiles
from drc_lab.errors import CannotWrite, UserError, reason
from drc_lab.progress import console

LARGEST = 2**31  # bytes of the archive, and of all that is in it
PARTS = ("unfiltered/train", "unfiltered/valid", "unfiltered/test", "medium/train", "medium/valid", "hard")
_WANTED = re.compile(rf"(?:[^/]+/)?((?:{'|'.join(PARTS)})/\w+\.txt|LICENSE|README\.md)", re.ASCII)


def main(settings: Settings, folder: Path) -> None:
    """Fetches what the ``data`` group describes; ``folder``, that of the run, stays empty."""
    source = levels_source(settings.config)
    fetch(source.url, source.folder, source.sha256, console)


def fetch(url: str, folder: Path, sha256: str | None, console: Console) -> None:
    """Downloads an archive of Boxoban's levels and unpacks it, unless the folder exists already.

    The archive is kept beside the folder, as ``folder``.zip.part, until its levels have been read and checked. Only
    then does the folder appear, complete.

    Args:
        url: of the zip file.
        folder: to make, with PARTS in it.
        sha256: of the zip file, in hex digits; None accepts any and prints it.
        console: for progress and results.

    Raises:
        UserError: the download fails or the disk is full, then what was downloaded is kept; or the archive is not what
            it should be, then it is removed. Either way nothing is unpacked.
    """
    check_sha256(sha256)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not (counts := _count(folder)):
            raise UserError(f"{folder}: found something else there, allowed: a new folder, or one with {PARTS[0]}, ...")
        console.print(f"{folder} is there already", soft_wrap=True)
        return _report(counts, console)
    archive = folder.with_name(f"{folder.name}.zip.part")
    download(url, archive, console)
    try:
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 is None:
            console.print(f"sha256 {digest}", soft_wrap=True)
        elif digest != sha256.lower():
            raise UserError(f"found sha256 {digest}, allowed: {sha256.lower()}")
        counts = _unpack(archive, folder, console)
    except UserError as error:
        forget(archive)
        raise UserError(f"{url}: {error}; the download was removed, nothing was unpacked") from None
    except OSError as error:
        raise CannotWrite(f"{folder}: {reason(error)}") from None
    forget(archive)
    console.print(f"unpacked to {folder}", soft_wrap=True)
    return _report(counts, console)


def _unpack(archive: Path, folder: Path, console: Console) -> dict[str, int]:
    """Unpacks the wanted files, reads all levels, and only then moves them to ``folder``. Returns how many levels each
    part has."""
    fresh = folder.with_name(f"{folder.name}.unpacking")
    shutil.rmtree(fresh, ignore_errors=True)  # left by a run that was killed
    try:
        with console.status("unpacking and reading all levels"), unpacking(archive, LARGEST) as packed:
            for member in packed.infolist():
                path = PurePosixPath(member.filename)
                if path.is_absolute() or ".." in path.parts or "\\" in member.filename:
                    raise UserError(f"found {member.filename!r} in it, a path that leads out of the folder")
                if wanted := _WANTED.fullmatch(member.filename):
                    target = fresh / wanted[1]
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with packed.open(member) as source, target.open("wb") as file:
                        shutil.copyfileobj(source, file)
            counts = _count(fresh)
        if not counts:
            raise UserError(f"found no level file in it such as {PARTS[0]}/000.txt")
        fresh.rename(folder)  # which does not exist or is empty
        return counts
    except UserError as error:
        raise UserError(str(error).replace(f"{fresh}/", "").removesuffix(ADVICE)) from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise UserError(f"it is no whole zip file ({error})") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _count(folder: Path) -> dict[str, int]:
    """Reads every level file in a folder; returns how many levels each part of Boxoban has."""
    counts = {}
    for part in PARTS:
        if (folder / part).is_dir():
            levels = LevelFiles(folder / part)
            for first in levels.starts[:-1]:
                levels[first : first + 1]
            counts[part] = len(levels)
    return counts


def _report(counts: dict[str, int], console: Console) -> None:
    for part, count in counts.items():
        console.print(f"  {part:<16} {count:>9,} levels", highlight=False)

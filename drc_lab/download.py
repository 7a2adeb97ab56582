"""Resumable downloads of large files."""

import json
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from drc_lab.errors import CannotWrite, UserError, reason
from drc_lab.files import remove_empty, writable
from drc_lab.untrusted import read_json

CHUNK = 2**14  # bytes; an incomplete chunk is lost when the connection is cut
LARGEST = 2**33  # bytes of a download
TIMEOUT = (10, 60)  # seconds to connect, and without any data


def download(url: str, path: Path, console: Console, most: int = LARGEST) -> None:
    """Downloads a file, or the part of it that is missing.

    If a download is interrupted (Ctrl-C, a lost connection), the bytes received so far stay in ``path``, and the next
    call requests only the rest. It starts over if the server does not support this or has a different version by now.

    Args:
        url: an http or https URL.
        path: path of the file. Beside it ``path``.json records the URL and version that its bytes belong to, until
            `forget` is called.
        console: where the progress bar is shown.
        most: bytes of the file; a server that sends more is cut off.

    Raises:
        UserError: the server or the connection fails, or the file cannot be written.
        CannotWrite: the disk took no more.
    """
    writable(path)
    try:
        if not _fetch_rest(url, path, console, most):
            forget(path)
            _fetch_rest(url, path, console, most)
    except requests.RequestException as error:
        kept = f"; {path} holds {path.stat().st_size:,} bytes, run again to go on from there" if path.exists() else ""
        remove_empty(path.parent)
        raise UserError(f"{url}: {_reason(error)}{kept}") from None
    except OSError as error:
        raise CannotWrite(f"{path}: {reason(error)}") from None


def forget(path: Path) -> None:
    """Removes a download and its ``.json`` file."""
    path.unlink(missing_ok=True)
    _note(path).unlink(missing_ok=True)


def _fetch_rest(url: str, path: Path, console: Console, most: int) -> bool:
    """Downloads what is missing in ``path``. Returns False if ``path`` is not the beginning of the server's file."""
    known = _read_note(path)
    have = path.stat().st_size if path.exists() and known.get("url") == url else 0
    headers = {"Accept-Encoding": "identity"}  # so that bytes on the wire are bytes of the file
    if have:
        headers["Range"] = f"bytes={have}-"
        if known["version"] and not known["version"].startswith("W/"):  # weak tags do not imply equal bytes
            headers["If-Range"] = known["version"]
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if have and response.status_code == requests.codes.requested_range_not_satisfiable:
            return response.headers.get("Content-Range") == f"bytes */{have}"  # nothing is missing
        response.raise_for_status()
        version = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if response.status_code != requests.codes.partial_content:
            have = 0
        begins = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if have and not (begins and version == known["version"]):
            return False
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdecimal() else None
        _check_size(total or 0, most, url)
        with path.open("ab" if have else "wb") as file, _bar(console) as bar:
            _note(path).write_text(json.dumps({"url": url, "version": version}))
            task = bar.add_task(path.stem, total=total, completed=have)
            for chunk in response.iter_content(CHUNK):
                _check_size(file.tell() + len(chunk), most, url)
                file.write(chunk)
                bar.advance(task, len(chunk))
        return True


def _check_size(size: int, most: int, url: str) -> None:
    if size > most:
        raise UserError(f"{url}: the server sends {size:,} bytes or more, allowed: up to {most:,}")


def _bar(console: Console) -> Progress:
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}", markup=False), *columns, console=console)


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _read_note(path: Path) -> dict[str, Any]:
    try:
        known = read_json(_note(path))
    except UserError:
        return {}
    fits = isinstance(known, dict) and all(isinstance(known.get(key), str | None) for key in ("url", "version"))
    return known if fits and "version" in known else {}


def _reason(error: requests.RequestException) -> str:
    """The message of the innermost cause, because the outer exceptions only repeat the URL at length."""
    if error.response is not None:
        return f"the server says {error.response.status_code} {error.response.reason}"
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    return " ".join(str(getattr(cause, "strerror", None) or cause).split())

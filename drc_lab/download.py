"""Downloads of large files that go on where they stopped."""

import json
from pathlib import Path
from typing import Any

import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from drc_lab.errors import UserError

CHUNK = 2**14  # bytes; what has come of a chunk when the connection is cut is lost
TIMEOUT = (10, 60)  # seconds until connected, and without any answer


def download(url: str, path: Path, console: Console) -> None:
    """Downloads a file, or what is missing of it.

    Whatever stops a download (Ctrl-C, a cut connection), the bytes that came stay in ``path``, and the next call asks
    only for the rest. It starts over if the server cannot do that, or has another version of the file by now.

    Args:
        url: http or https.
        path: of the file; beside it lies ``path``.json, which says what the bytes are of, until `forget` is called.
        console: for the progress bar.

    Raises:
        UserError: the server or the way to it fails, or the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not _fetch_rest(url, path, console):
            forget(path)
            _fetch_rest(url, path, console)
    except requests.RequestException as error:
        kept = f"; {path} holds {path.stat().st_size:,} bytes, run again to go on from there" if path.exists() else ""
        raise UserError(f"{url}: {_reason(error)}{kept}") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def forget(path: Path) -> None:
    """Removes a download and what is known of it."""
    path.unlink(missing_ok=True)
    _note(path).unlink(missing_ok=True)


def _fetch_rest(url: str, path: Path, console: Console) -> bool:
    """Adds what is missing to ``path``. Returns False if what is there is not the start of the server's file."""
    known = _read_note(path)
    have = path.stat().st_size if path.exists() and known.get("url") == url else 0
    headers = {"Accept-Encoding": "identity"}  # so that bytes on the wire are bytes of the file
    if have:
        headers["Range"] = f"bytes={have}-"
        if known["version"] and not known["version"].startswith("W/"):  # a weak tag says nothing about bytes
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
        total = have + int(length) if length else None
        with path.open("ab" if have else "wb") as file, _bar(console) as bar:
            _note(path).write_text(json.dumps({"url": url, "version": version}))
            task = bar.add_task(path.stem, total=total, completed=have)
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                bar.advance(task, len(chunk))
        return True


def _bar(console: Console) -> Progress:
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), *columns, console=console)


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _read_note(path: Path) -> dict[str, Any]:
    try:
        return json.loads(_note(path).read_text())
    except (OSError, ValueError):
        return {}


def _reason(error: requests.RequestException) -> str:
    """The innermost cause: the outer ones repeat the address in many words."""
    if error.response is not None:
        return f"the server says {error.response.status_code} {error.response.reason}"
    cause: BaseException = error
    while cause.__cause__ or cause.__context__:
        cause = cause.__cause__ or cause.__context__ or cause
    return " ".join(str(getattr(cause, "strerror", None) or cause).split())

"""The journal: a file in a run's folder to which everything that the run records is written first, in order.

Each line is one operation as JSON (with Python's NaN, Infinity and -Infinity). Its kind is ``op``:

- ``run``: the ids of the MLflow run, or null. It is the first line and is repeated when the ids change; the last one
  counts.
- ``metrics``: ``values`` by name at ``step``; ``params``: ``values`` by name; ``tags``: ``values`` by name
- ``artifact``: the file ``path``, for the artifact folder ``folder``
- ``checkpoint``: the file ``path`` with its ``metrics`` at ``step``; ``drop``: the checkpoint ``name`` was deleted
- ``dataset``: levels that the run used, identified by ``name``, ``digest`` and ``context``
- ``child``: a complete nested run
- ``status``: the run's status, in MLflow's words
- ``sent``: MLflow has all lines up to the byte ``position``

Every operation has a ``time`` in milliseconds since 1970. Paths inside the journal's folder are relative to it. URIs
have no passwords in them. The last key of a line is ``crc``, the CRC-32 of the line up to the comma before that key;
lines of older versions have none. Lines of spaces were damaged, and the user blanked them out.
"""

import errno
import fcntl
import json
import os
import shlex
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Any

from drc_lab.errors import CannotWrite, UserError, note, reason
from drc_lab.files import written
from drc_lab.passwords import hidden
from drc_lab.untrusted import size_of_regular

FILE = "tracking.jsonl"
CRC = b', "crc": '
LONGEST = 2**26  # bytes of a line
NOTES = ("run", "sent")  # operations about the journal itself, which sinks do not need

Operation = dict[str, Any]


class Journal:
    """An open journal. Only one process can have it open at a time, but its threads may share it.

    A metric has only one value at each step. A run that was killed and resumed from its last checkpoint recomputes
    values that are already in the journal, and these are not added again. The same holds for params, checkpoints,
    datasets and finished nested runs.

    Args:
        path: path of the file. An unfinished last line, left by a killed process, is removed, and the user is told.

    Attributes:
        run: the last ``run`` operation, which is the valid one.
        sent: number of bytes that MLflow has.
        size: total number of bytes.
        ended: whether the last status says that the run has ended.

    Raises:
        UserError: the file does not exist, another process has it open, or it is damaged.
    """

    def __init__(self, path: Path):
        self.path, self.folder = path, path.parent
        self.run: Operation = {}
        self.sent = self.size = 0
        self.ended = False
        self._seen: dict[tuple[str, str], set[int | None]] = defaultdict(set)
        self._latest: dict[str, int] = {}
        self._lock = threading.Lock()
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
        except OSError as error:
            raise UserError(f"{path}: {reason(error)}") from None
        self._file = open(descriptor, "ab", buffering=0)  # noqa: SIM115 - one write, one line; none waits in this process
        try:
            size_of_regular(descriptor, path)  # a device could be read without end
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # released when the process ends
            for operation, end in self.read(0, notes=True):
                try:
                    self._take_in(operation, end)
                except (ValueError, TypeError, KeyError, AttributeError):  # lines of older versions have no checksum
                    raise UserError(self._damaged(json.dumps(operation).encode(), end)) from None
            if (torn := os.fstat(descriptor).st_size - self.size) > 0:
                os.ftruncate(descriptor, self.size)
                note(f"{path}: its last line was not finished, and {torn} bytes of it are left out")
            elif not self.run:
                note(f"{path}: it is empty, and this begins a new one")
        except BlockingIOError:
            self.close()
            raise UserError(f"{path}: another process is recording this run") from None
        except BaseException:
            self.close()
            raise

    @classmethod
    def new(cls, path: Path, **run: Any) -> "Journal":
        """Starts a new journal, which replaces that of an earlier run in the folder."""
        with written(path) as part:
            part.write_bytes(line_of({"op": "run", "time": now(), **run}))
        return cls(path)

    def add(self, op: str, **fields: Any) -> bool:
        """Writes an operation, or only what is new of its values; returns whether there was anything new.

        Raises:
            CannotWrite: it cannot be written, and the journal is what it was before.
        """
        operation = {"op": op, "time": now(), **fields}
        with self._lock:
            if op in ("metrics", "params"):
                step, seen = operation.get("step"), self._seen
                operation["values"] = {k: v for k, v in operation["values"].items() if step not in seen[op, k]}
                if not operation["values"]:
                    return False
            elif any(step in self._seen[op, name] for name, step in points(operation)):
                return False
            line = line_of(operation)
            try:
                if self._file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                os.truncate(self.path, self.size)  # an incomplete line would corrupt the next one
                raise CannotWrite(f"{self.path}: {reason(error)}") from None
            self._take_in(operation, self.size + len(line))
        return True

    def add_file(self, op: str, path: Path, **fields: Any) -> bool:
        """`add` for an operation on a file, whose path becomes relative to the journal's folder if it is inside it."""
        return self.add(op, path=self.place(path), **fields)

    def place(self, path: Path) -> str:
        """The path of a file as it is written in the journal: relative to its folder if the file is inside it."""
        path, folder = path.resolve(), self.folder.resolve()
        return str(path.relative_to(folder) if path.is_relative_to(folder) else path)

    @property
    def unsent(self) -> bool:
        """Whether there are operations that MLflow does not have yet."""
        return any(True for _ in self.read(self.sent))

    def mark_sent(self, position: int) -> None:
        """Notes that MLflow has everything up to this byte."""
        self.add("sent", position=position)

    def read(self, position: int, notes: bool = False) -> Iterator[tuple[Operation, int]]:
        """The operations from a byte on, each with the byte where it ends.

        Args:
            position: the first byte.
            notes: whether to include operations about the journal itself (`NOTES`).

        Raises:
            UserError: the journal is damaged.
        """
        checked = False
        with self.path.open("rb") as file:
            file.seek(position)
            for line in iter(lambda: file.readline(LONGEST), b""):
                if len(line) == LONGEST:
                    raise UserError(f"{self.path}: a line of {LONGEST:,} bytes or more after byte {position}")
                if not line.endswith(b"\n"):
                    break
                position += len(line)
                if not line.strip():
                    continue
                try:
                    operation = operation_in(line, checked)
                    kind = operation["op"]
                except (ValueError, TypeError, KeyError, AttributeError):
                    raise UserError(self._damaged(line, position)) from None
                checked |= CRC in line
                if notes or kind not in NOTES:
                    yield operation, position

    def _damaged(self, line: bytes, position: int) -> str:
        with self.path.open("rb") as file:
            number = file.read(position).count(b"\n")
        blanked = f"LC_ALL=C sed -i '{number}s/./ /g' {shlex.quote(str(self.path))}"  # positions stay what they are
        return f"{self.path}: damaged before byte {position}: {line[:60]!r}. To go on without that line:  {blanked}"

    def replaced(self, operation: Operation, end: int) -> bool:
        """Whether a later operation overwrites the file of this one, which ends at byte ``end``."""
        return self._latest.get(target(operation) or "", end) > end

    def last_step(self, prefix: str) -> int:
        """The highest step of the metrics whose names start with ``prefix``; -1 if there are none."""
        steps = [step for (op, name), seen in self._seen.items() if op == "metrics" and name.startswith(prefix)
                 for step in seen if step is not None]  # fmt: skip
        return max(steps, default=-1)

    def sync(self) -> None:
        """Waits until the whole journal is on the disk, where it survives a power failure."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file, so that another process can open the journal."""
        self._file.close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _take_in(self, operation: Operation, end: int) -> None:
        self.size = end
        if operation["op"] == "run":
            self.run = operation
        elif operation["op"] == "sent":
            self.sent = range(end).index(operation["position"])  # a ValueError for what is no byte before it
        elif operation["op"] == "status":
            self.ended = operation["status"] != "RUNNING"
        elif operation["op"] == "drop":
            self._seen.pop(("checkpoint", operation["name"]), None)  # one of that name may be recorded again
        for name, step in points(operation):
            if type(step) not in (int, NoneType):
                raise TypeError(f"a step {step!r}")
            self._seen[operation["op"], name].add(step)
        if goes_to := target(operation):
            self._latest[goes_to] = end


def line_of(operation: Operation) -> bytes:
    """The line of an operation."""
    text = hidden(json.dumps(operation)).encode().removesuffix(b"}")
    return text + CRC + b'"%08x"}\n' % zlib.crc32(text)


def operation_in(line: bytes, checked: bool) -> Operation:
    """The operation of a line.

    Args:
        line: of a journal.
        checked: whether it must have a checksum, as one before it has.

    Raises:
        ValueError: it is damaged.
    """
    operation: Operation = json.loads(line)
    crc = operation.pop("crc", None)
    if crc is None and not checked:
        return operation
    if crc != f"{zlib.crc32(line[: line.rfind(CRC)]):08x}":
        raise ValueError("damaged")
    return operation


def last_status(folder: Path) -> str | None:
    """The last status of the run that was recorded in a folder, in MLflow's words.

    It is None if there is no journal, and also if MLflow lacks a part of it (the process was killed), because the run
    is not complete then.

    Raises:
        UserError: see `Journal`.
    """
    if not (folder / FILE).is_file():
        return None
    with Journal(folder / FILE) as journal:
        statuses = [operation["status"] for operation, _ in journal.read(0) if operation["op"] == "status"]
        return None if not statuses or (journal.run.get("run_id") and journal.unsent) else statuses[-1]


def run_id(folder: Path) -> str | None:
    """MLflow's id of the run that was recorded in a folder; None if it was not recorded in MLflow."""
    if not (folder / FILE).is_file():
        return None
    with Journal(folder / FILE) as journal:
        return journal.run.get("run_id")


def points(operation: Operation) -> list[tuple[str, int | None]]:
    """What an operation records only once: names, each with its step if it has one. See `Journal`."""
    match operation:
        case {"op": "metrics" | "params", "values": dict(values)}:
            return [(name, operation.get("step")) for name in values]
        case {"op": "checkpoint", "path": path, "step": step}:
            return [(Path(path).name, step)]
        case {"op": "dataset", "name": name, "digest": digest, "context": context}:
            return [(f"{name} {digest} {context}", None)]
        case {"op": "child", "name": name, "status": "FINISHED"}:
            return [(name, None)]
    return []


def target(operation: Operation) -> str | None:
    """The file in MLflow that an operation writes, or None."""
    if operation["op"] not in ("artifact", "checkpoint"):
        return None
    return f"{operation.get('folder', 'checkpoints')}/{Path(operation['path']).name}"


def now() -> int:
    """Milliseconds since 1970, as MLflow counts time."""
    return time.time_ns() // 1_000_000

"""The journal: everything a run records, in order, in one file of its folder before it goes anywhere else.

Each line is one operation as JSON, with ``op`` for its kind (Python's NaN, Infinity and -Infinity for such floats):

- ``run``: the MLflow run, or null; the first line, and again when that changes. The last one counts.
- ``metrics``: ``values`` by name at ``step``; ``params``: ``values`` by name; ``tags``: ``values`` by name
- ``artifact``: the file ``path`` for the artifact folder ``folder``
- ``checkpoint``: the file ``path`` with ``metrics`` at ``step``; ``drop``: the checkpoint called ``name`` is gone
- ``dataset``: levels, by ``name`` and ``digest``, that the run used in a ``context``
- ``child``: a nested run, whole
- ``status``: of the run, as MLflow calls it
- ``sent``: MLflow has all lines up to the byte ``position``

All have ``time``, milliseconds since 1970. Paths are relative to the journal's folder where they are inside it.
"""

import errno
import fcntl
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from drc_lab.errors import UserError
from drc_lab.files import written

FILE = "tracking.jsonl"
NOTES = ("run", "sent")  # about the journal itself, of no interest to those who read it

Operation = dict[str, Any]


class Journal:
    """An open journal, for one process at a time; its threads may share it.

    A metric has one value at a step: what a run that was killed computes again after its last checkpoint is already
    here, and is not added twice. The same holds for params, checkpoints and finished children.

    Args:
        path: of the file. A last line that a killed process left unfinished is cut off.

    Attributes:
        run: the ``run`` operation that counts.
        sent: bytes that MLflow has.
        size: bytes in all.
        ended: whether the last status is an end's.

    Raises:
        UserError: there is none, another process writes to it, or it is damaged.
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
            raise UserError(f"{path}: {error.strerror}") from None
        self._file = open(descriptor, "ab", buffering=0)  # noqa: SIM115 - one write, one line; none waits in this process
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lifts it when the process ends
            for operation, end in self.read(0, notes=True):
                self._take_in(operation, end)
            if os.fstat(descriptor).st_size > self.size:
                os.ftruncate(descriptor, self.size)
        except BlockingIOError:
            self.close()
            raise UserError(f"{path}: another process is recording this run") from None
        except BaseException:
            self.close()
            raise

    @classmethod
    def new(cls, path: Path, **run: Any) -> "Journal":
        """Begins a journal, in place of one of an earlier run."""
        with written(path) as part:
            part.write_text(json.dumps({"op": "run", "time": now(), **run}) + "\n")
        return cls(path)

    def add(self, op: str, **fields: Any) -> bool:
        """Writes an operation, or what of it is new; whether anything was."""
        operation = {"op": op, "time": now(), **fields}
        with self._lock:
            if op in ("metrics", "params"):
                step, seen = operation.get("step"), self._seen
                operation["values"] = {k: v for k, v in operation["values"].items() if step not in seen[op, k]}
                if not operation["values"]:
                    return False
            elif any(step in self._seen[op, name] for name, step in points(operation)):
                return False
            line = json.dumps(operation).encode() + b"\n"
            try:
                if self._file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                os.truncate(self.path, self.size)  # half a line would spoil the next one
                raise UserError(f"{self.path}: {error.strerror}") from None
            self._take_in(operation, self.size + len(line))
        return True

    def add_file(self, op: str, path: Path, **fields: Any) -> bool:
        """`add` for an operation on a file."""
        return self.add(op, path=self.place(path), **fields)

    def place(self, path: Path) -> str:
        """A file as the journal names it."""
        path, folder = path.resolve(), self.folder.resolve()
        return str(path.relative_to(folder) if path.is_relative_to(folder) else path)

    @property
    def unsent(self) -> bool:
        """Whether MLflow lacks something."""
        return any(True for _ in self.read(self.sent))

    def mark_sent(self, position: int) -> None:
        """MLflow has everything up to this byte."""
        self.add("sent", position=position)

    def read(self, position: int, notes: bool = False) -> Iterator[tuple[Operation, int]]:
        """The operations after a byte, each with the byte that it ends at; ``notes`` are left out if not asked for."""
        with self.path.open("rb") as file:
            file.seek(position)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                position += len(line)
                try:
                    operation = json.loads(line)
                    if notes or operation["op"] not in NOTES:
                        yield operation, position
                except (ValueError, TypeError, KeyError):
                    raise UserError(f"{self.path}: damaged before byte {position}: {line[:60]!r}") from None

    def replaced(self, operation: Operation, end: int) -> bool:
        """Whether the file of this operation, which ends at a byte, is written again by a later one."""
        return self._latest.get(target(operation) or "", end) > end

    def last_step(self, prefix: str) -> int:
        """The highest step of the metrics whose names begin so; -1 if there are none."""
        steps = [step for (op, name), seen in self._seen.items() if op == "metrics" and name.startswith(prefix)
                 for step in seen if step is not None]  # fmt: skip
        return max(steps, default=-1)

    def sync(self) -> None:
        """Returns when all of it is on disk, also if the machine loses power."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Lets another process write to it."""
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
            self.sent = operation["position"]
        elif operation["op"] == "status":
            self.ended = operation["status"] != "RUNNING"
        elif operation["op"] == "drop":
            self._seen.pop(("checkpoint", operation["name"]), None)  # it may come again
        for name, step in points(operation):
            self._seen[operation["op"], name].add(step)
        if goes_to := target(operation):
            self._latest[goes_to] = end


def last_status(folder: Path) -> str | None:
    """Of the run that was recorded in a folder, as MLflow calls it; None where there is no journal.

    One that MLflow does not know yet, because the process was killed, is not the last word: None too.

    Raises:
        UserError: see `Journal`.
    """
    if not (folder / FILE).is_file():
        return None
    with Journal(folder / FILE) as journal:
        found = [operation["status"] for operation, _ in journal.read(0) if operation["op"] == "status"]
        return None if not found or (journal.run.get("run_id") and journal.unsent) else found[-1]


def run_id(folder: Path) -> str | None:
    """MLflow's id of the run that was recorded in a folder, if it knows it."""
    if not (folder / FILE).is_file():
        return None
    with Journal(folder / FILE) as journal:
        return journal.run.get("run_id")


def points(operation: Operation) -> list[tuple[str, int | None]]:
    """What an operation records once and for all: names, with steps where they have one."""
    match operation:
        case {"op": "metrics" | "params", "values": values}:
            return [(name, operation.get("step")) for name in values]
        case {"op": "checkpoint", "path": path, "step": step}:
            return [(Path(path).name, step)]
        case {"op": "dataset", "name": name, "digest": digest, "context": context}:
            return [(f"{name} {digest} {context}", None)]
        case {"op": "child", "name": name, "status": "FINISHED"}:
            return [(name, None)]
    return []


def target(operation: Operation) -> str | None:
    """Which file in MLflow an operation writes."""
    if operation["op"] not in ("artifact", "checkpoint"):
        return None
    return f"{operation.get('folder', 'checkpoints')}/{Path(operation['path']).name}"


def now() -> int:
    """Milliseconds since 1970, as MLflow counts time."""
    return time.time_ns() // 1_000_000

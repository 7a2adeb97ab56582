"""Sends what a journal holds to one place, in a thread of its own: whoever records never waits."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from drc_lab.progress import working
from drc_lab.tracking.journal import Journal, Operation

POLL_SECONDS = 0.5
FIRST_PAUSE, LONGEST_PAUSE, LAST_PAUSE = 1.0, 30.0, 1.0  # seconds between tries: at first, at most, at the run's end
BATCH = 1000  # metric values, what MLflow takes in one request


class Sink(Protocol):
    """Where a journal's operations go.

    Attributes:
        name: for messages.
    """

    name: str

    def send(self, operations: list[Operation]) -> None:
        """Takes operations in order: several of metrics or one of another kind. May be called again with the same.

        Raises:
            Refused: it will never take them.
            Exception: it does not take them now.
        """

    def close(self) -> None:
        """Nothing more will come."""


class Refused(Exception):
    """A sink has no use for these operations, now or later."""


class Sender(threading.Thread):
    """Follows a journal from a byte on.

    Args:
        journal: to read.
        sink: to send to.
        position: the first byte that the sink does not have.
        arrived: called with the byte up to which everything arrived.
        say: tells the user when the sink goes away, once, and when it is back.
    """

    def __init__(
        self,
        journal: Journal,
        sink: Sink,
        position: int,
        arrived: Callable[[int], None],
        say: Callable[[str], object],
    ):
        super().__init__(name=f"sender to {sink.name}", daemon=True)
        self.journal, self.sink, self.position, self.arrived, self.say = journal, sink, position, arrived, say
        self.away_since: float | None = None
        self.refused = self.done = False
        self._closing, self._given_up = threading.Event(), threading.Event()
        self._turn = threading.Lock()

    def run(self) -> None:
        pause = FIRST_PAUSE
        while not self._given_up.is_set():
            closing = self._closing.is_set()  # before the look: what comes later is none of ours
            try:
                with self._turn:
                    more = self._send_next()
            except Exception as error:  # whatever the network and a library make of it: the run goes on
                if self._given_up.is_set():  # and the journal is closed
                    return
                self._is_away(error)
                if not self._closing.wait(pause):
                    pause = min(2 * pause, LONGEST_PAUSE)
                else:
                    time.sleep(LAST_PAUSE)
                continue
            pause = FIRST_PAUSE
            if not more:
                if closing:
                    self.done = True
                    return
                self._closing.wait(POLL_SECONDS)

    def flush(self) -> None:
        """Sends everything now and in the calling thread.

        Raises:
            Exception: what the sink raised; it does not have the rest.
        """
        with self._turn:
            while self._send_next():
                pass

    def leave_out(self) -> None:
        """What is in the journal now is not sent."""
        with self._turn:
            self._arrived(self.journal.size)

    def finish(self, patience: float) -> None:
        """Waits until everything has arrived, ``patience`` seconds at most while the sink is away."""
        self._closing.set()
        closed, position = time.monotonic(), self.position
        with working(f"sending the rest to {self.sink.name}", self.journal.size - position) as advance:
            while self.is_alive():
                self.join(0.05)
                before, position = position, self.position
                advance(position - before)
                away = self.away_since
                if away is not None and time.monotonic() - max(away, closed) > patience:
                    self._given_up.set()
                    return
        self.sink.close()

    def _send_next(self) -> bool:
        """Sends one batch, if there is one."""
        batch: list[Operation] = []
        values, position = 0, self.position
        for operation, end in self.journal.read(self.position):
            if batch and not operation["op"] == batch[0]["op"] == "metrics":
                break
            if batch and values + len(operation["values"]) > BATCH:
                break
            batch.append(operation if not self.journal.replaced(operation, end) else {"op": "replaced"})
            values, position = values + len(operation.get("values", ())), end
        if not batch:
            return False
        if batch[0]["op"] != "replaced":
            self.journal.sync()  # or a power cut could make the run record again what the sink has
            try:
                self.sink.send(batch)
            except Refused as error:
                if not self.refused:
                    self.refused = True
                    self.say(f"{self.sink.name} refuses a part, which {self.journal.path} keeps: {error}")
        if self.away_since is not None:
            self.away_since = None
            self.say(f"{self.sink.name} is back")
        self._arrived(position)
        return True

    def _arrived(self, position: int) -> None:
        self.position = position
        self.arrived(position)

    def _is_away(self, error: Exception) -> None:
        if self.away_since is None:
            self.away_since = time.monotonic()
            reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
            self.say(
                f"{self.sink.name} is away, the run goes on and {self.journal.path} keeps what it records: {reason}"
            )

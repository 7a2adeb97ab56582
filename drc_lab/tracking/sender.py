"""Sends a journal's operations to a sink in a separate thread, so that recording never waits."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

from drc_lab.progress import working
from drc_lab.tracking.journal import Journal, Operation

POLL_SECONDS = 0.5
FIRST_PAUSE, LONGEST_PAUSE, LAST_PAUSE = 1.0, 30.0, 1.0  # seconds between tries: first, longest, while the run ends
LONGEST_SEND = 600.0  # seconds: longest wait for one operation, a large checkpoint say, while the run ends
BATCH = 1000  # most metric values that MLflow accepts in one request


class Sink(Protocol):
    """A destination of a journal's operations.

    Attributes:
        name: the sink's name in messages.
    """

    name: str

    def send(self, operations: list[Operation]) -> None:
        """Takes operations in order: one or more of metrics, or a single one of another kind.

        It may be called again with the same operations.

        Raises:
            Refused: the sink will never accept them.
            Exception: the sink cannot accept them now; they will be sent again.
        """

    def close(self) -> None:
        """Called once everything has been sent."""


class Refused(Exception):
    """Raised by a sink that will never accept these operations."""


class Sender(threading.Thread):
    """Follows a journal and sends its operations to a sink.

    Args:
        journal: the journal to read.
        sink: the sink to send to.
        position: the first byte that the sink does not have yet.
        arrived: called with the byte up to which everything has arrived.
        say: called with one-line messages when the sink becomes unreachable and when it is back.

    Attributes:
        away_since: `time.monotonic` at which the sink became unreachable; None while it can be reached.
        refused: whether the sink has refused anything.
        done: whether the sink has everything.
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
            closing = self._closing.is_set()  # read before sending, so that an empty journal means that all is sent
            try:
                with self._turn:
                    more = self._send_next()
            except Exception as error:  # of any type: the network or a library fails, and the run must go on
                if self._given_up.is_set():  # the journal is closed by now
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
        """Sends everything immediately, in the calling thread.

        Raises:
            Exception: raised by the sink, which does not have the rest.
        """
        with self._turn:
            while self._send_next():
                pass

    def leave_out(self) -> None:
        """Skips everything that is in the journal now."""
        with self._turn:
            self._arrived(self.journal.size)

    def finish(self, patience: float) -> None:
        """Waits until everything has arrived, but at most ``patience`` seconds while the sink is unreachable, and at
        most `LONGEST_SEND` for one operation while it seems to be there."""
        self._closing.set()
        closed = moved = time.monotonic()
        position = self.position
        with working(f"sending the rest to {self.sink.name}", self.journal.size - position) as advance:
            while self.is_alive():
                self.join(0.05)
                now, before, position = time.monotonic(), position, self.position
                advance(position - before)
                moved = now if position > before else moved
                away = self.away_since
                if now - moved > LONGEST_SEND if away is None else now - max(away, closed) > patience:
                    self.give_up()
                    return
        self.sink.close()

    def give_up(self) -> None:
        """Ends the thread, whatever has not arrived yet; what it is sending is not noted as sent."""
        self._given_up.set()

    def _send_next(self) -> bool:
        """Sends the next batch; False if there is nothing to send."""
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
            self.journal.sync()  # else the journal could lack what the sink has after a power failure
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

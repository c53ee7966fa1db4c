"""The users of a fleet: people who write through all processes, and a reader who follows the stream of events."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count, cycle
from typing import Final

import msgspec

from node.client.errors import ClientError
from node.client.following import EventReader
from node.client.http import NodeClient
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey
from simulations.processes.fleet_processes import DOMAIN, TIMEOUT_S, patiently

ANSWER_S: Final = 1.0
"""How long a writer waits for an answer before it asks the next process, as a load balancer does."""

RETRY_S: Final = 0.02

_DATA: Final = b"data: "


class Load:
    """People who write through all processes in turn. A claim without an answer is sent again, to the next process."""

    def __init__(self, urls: Sequence[str], on_acknowledged: Callable[[int], None]) -> None:
        """`on_acknowledged` hears the number of claims that are acknowledged, after each one."""
        self.repeated = 0
        self.acknowledged: list[tuple[str, float, float]] = []
        """The id of each claim, and when it was sent first and acknowledged, by the monotonic clock."""
        self._urls = urls
        self._on_acknowledged = on_acknowledged
        self._lock = threading.Lock()
        self._ending = threading.Event()

    def end(self) -> None:
        """Begin no further claim."""
        self._ending.set()

    def write(self, number: int) -> None:
        """One person writes until the load ends. `number`: which process comes first."""
        key = SigningKey(secrets.token_bytes(32))
        urls = cycle([*self._urls[number % len(self._urls) :], *self._urls[: number % len(self._urls)]])
        for place in count():
            if self._ending.is_set():
                return
            label = f"plot-{number}-{place}"
            record = make({"domain": DOMAIN, "label": label, "signedby": key.public, "timestamp": int(time.time())})
            self._put(sign(record, key), urls)

    def _put(self, claim: SignedRecord, urls: Iterator[str]) -> None:
        sent_s = time.monotonic()
        while not self._ending.is_set():
            with suppress(ClientError), NodeClient(next(urls), timeout_s=ANSWER_S) as client:
                answer = client.ask("PUT", f"/claims/{claim.signature}", body=claim.record.canonical)
                if answer.status in (200, 201):
                    with self._lock:
                        self.acknowledged.append((claim.record.id, sent_s, time.monotonic()))
                        self._on_acknowledged(len(self.acknowledged))
                    return
            with self._lock:
                self.repeated += 1
            time.sleep(RETRY_S)

    def await_claims(self, wanted: int) -> None:
        """Wait until this many claims are acknowledged. Raises: TimeoutError: that takes too long."""
        for _ in patiently(f"fewer than {wanted} claims are acknowledged"):
            if len(self.acknowledged) >= wanted:
                return

    def first_after(self, moment_s: float) -> float:
        """Seconds from this moment until a claim was acknowledged that was sent after it.

        Raises:
            TimeoutError: there is none.
        """
        for _ in patiently("no claim was acknowledged"):
            with self._lock:
                ends = [acknowledged_s for _, sent_s, acknowledged_s in self.acknowledged if sent_s > moment_s]
            if ends:
                return min(ends) - moment_s
        raise AssertionError("`patiently` ends by an error")


class _Numbered(msgspec.Struct, frozen=True):
    """What counts in the data of the stream. What ends a stream has no number."""

    seq: int | None = None
    id: str = ""


class Reader:
    """Follows the stream of events from its beginning. It goes on at the next process when a connection ends.

    It counts what the processes send. The reader of `dnarc watch` would hide an event that comes twice.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        self.connections = 0
        self.ids: set[str] = set()
        self.skipped = 0
        self.doubled = 0
        self._urls = cycle(urls)
        self._last = 0
        self._ending = threading.Event()

    def end(self) -> None:
        """Open no further connection."""
        self._ending.set()

    def follow(self) -> None:
        """Read until `end` was called and the connection has ended."""
        events = EventReader([], "0")
        while not self._ending.is_set():
            self.connections += 1
            with suppress(ClientError), NodeClient(next(self._urls), timeout_s=TIMEOUT_S) as client:
                for line in client.lines(events.target()):
                    if line.startswith(_DATA):
                        event = msgspec.json.decode(line.removeprefix(_DATA), type=_Numbered)
                        self.note(event.seq, event.id)
                    events.read(line)
            time.sleep(RETRY_S)

    def note(self, seq: int | None, record_id: str) -> None:
        """Count this event, which is the next one of the stream unless a process is wrong."""
        if seq is None:
            return
        if seq <= self._last:
            self.doubled += 1
            return
        self.skipped += seq - self._last - 1
        self._last = seq
        self.ids.add(record_id)

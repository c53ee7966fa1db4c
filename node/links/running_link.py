"""A session: one link while it lasts, as the tasks that carry out what its machine orders.

    reader -> machine -> orders -> writer, takes, loads, the node's gossip

The reader hands frames in one after another, and reads no further while the machine has as many takes under way as it
wants: then the socket fills, and the peer waits. Takes run beside each other, so that one is verified while another is
committed.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from node.intake.arrivals import Delivery, Origin
from node.links.alarm import Alarm
from node.links.incoming import Postponed, known_ids, refused_ids, take
from node.links.permission import Acquaintance
from node.links.recent_records import load
from node.links.transport import CLOSE_S_MAX, Wire, WireEndedError
from node.links.transport_tasks import Attention, Writer, ping_forever
from node.store.contract import Cursor
from node.tasks import Tasks
from protocol.errors import Code, ProtocolError
from protocol.link.messages import RECORDS_MAX, Have, Prune, Want
from protocol.link.orders import Close, Found, Heard, Load, Opened, Order, PutCursor, Send, Take
from protocol.link.status import LinkState, Phase
from protocol.link.terms import Flow
from protocol.records.admission import Trust
from protocol.records.record import SignedRecord

if TYPE_CHECKING:
    from node.links.registry import Links
    from node.node import Node


from protocol.records.outcome import Outcome, Status

UNSENT_BYTES_MAX: Final = 4 * 2**20
"""Text that waits for the socket, past which nothing more is read: twice the machine's window, so that only a peer
which asks and does not listen comes here."""

LOOKUPS_MAX: Final = 4
"""Announcements whose ids are being looked up in the store, past which nothing more is read."""

COMPARE_AFTER_S: Final = 0.5
COMPARE_EVERY_S: Final = 5.0
"""How soon, and how often, the two compare what they hold where announcements were not followed: guesses."""

CURSORS_EVERY_S: Final = 1.0
"""Between two writes of the cursors: a link that breaks off offers so much again, and what is known costs little."""

_DOMAINS: Final = '{"type":"domains"'
"""How a node of our kind begins a list of what it holds; missing another kind's only makes a figure older."""

log = structlog.get_logger()


class LinkCounts(msgspec.Struct):
    """Frames, bytes of text, records that came by what became of them, and the last round trip, in seconds."""

    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    accepted: int = 0
    known: int = 0
    refused: int = 0
    repaired: int = 0
    round_trip_s: float | None = None

    def count(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            match outcome.status:
                case Status.ACCEPTED:
                    self.accepted += 1
                case Status.KNOWN:
                    self.known += 1
                case Status.REFUSED:
                    self.refused += 1


class Ending(msgspec.Struct, frozen=True):
    """`code` is None where the network ended it; `is_theirs`: the peer said so. `open_s` is for how long it had been
    open, in seconds; 0: it never was.
    """

    code: str | None
    detail: str
    is_theirs: bool = False
    open_s: float = 0.0

    @property
    def reason(self) -> str:
        return self.detail if self.code is None else f"{self.code}: {self.detail}"


class Session:
    """One link of this node. `number` names it here; `gone` is set when nothing of it is left."""

    def __init__(
        self, links: "Links", number: int, wire: Wire, acquaintance: Acquaintance, address: str | None
    ) -> None:
        """`address` is what the quotas of a client count under, None: exempt."""
        self.number = number
        self.wire = wire
        self.acquaintance = acquaintance
        self.link = links.machine(acquaintance)
        self.counts = LinkCounts()
        self.gone = asyncio.Event()
        self._opened_s: float | None = None
        self._has_caught_up = False
        self._links = links
        self._node: Node = links.node
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks(self._on_failure)
        self._ended: asyncio.Future[Ending] = self._loop.create_future()
        self._orders: deque[Order] = deque()
        self._is_carrying_out = False
        self._writer = Writer(wire, self._on_sent)
        self._lookups = 0
        self._cursors: dict[tuple[str, Flow], int] = {}
        self._is_relieved = asyncio.Event()
        self._attention = Attention()
        self._alarm = Alarm(self._on_time)
        self._comparison = Alarm(self._compare_now)
        self._compared_at = -COMPARE_EVERY_S
        self._postponed = Postponed(self._node.settings.max_skew or 0, self._node.world.now_s, self._want)

    @property
    def peer_key(self) -> str | None:
        """The key that the peer has proved to hold; None before."""
        return self.link.peer_key if self.is_open else None

    @property
    def is_open(self) -> bool:
        return self.link.phase is Phase.OPEN

    async def run(self) -> Ending:
        """Be linked, until one of the two ends it; then leave nothing behind."""
        try:
            self._tasks.start(self._write(), "link writer")
            self._tasks.start(self._read(), "link reader")
            self._do(self.link.start(self._loop.time()))
            ending = await self._ended
            await self._say_goodbye(ending)
            return msgspec.structs.replace(ending, open_s=self.open_s)
        finally:
            self._alarm.cancel()
            self._comparison.cancel()
            self._postponed.cancel()
            await self._tasks.close()
            await self.store_cursors()

    @property
    def open_s(self) -> float:
        """For how long it has been open, in seconds."""
        return 0.0 if self._opened_s is None else self._loop.time() - self._opened_s

    @property
    def unsent_bytes(self) -> int:
        """Text that waits for the socket."""
        return self._writer.unsent_bytes

    @property
    def reason(self) -> str | None:
        """Why it has ended; None while it lasts."""
        return self._ended.result().reason if self._ended.done() else None

    def carried(self, direction: str) -> tuple[int, int, int]:
        """How many records went this way, how many of them were known, and how many refused.

        A peer does not say which of those pushed to it were known.
        """
        counts = self.counts
        if direction == Flow.PULL:
            return counts.accepted + counts.known + counts.refused, counts.known, counts.refused
        status = self.link.status()
        return status.sent, 0, status.refused_by_them

    def compare(self) -> None:
        """Look for what was missed, now. The link is open."""
        self._do(self.link.compare(self._loop.time()))

    def compare_soon(self) -> None:
        """Compare when `COMPARE_EVERY_S` have passed since it was last asked for, and whatever is under way has ended.

        A liar can have it done by announcing what nobody has, so it must cost little: a list each way.
        """
        self._comparison.set(max(self._loop.time() + COMPARE_AFTER_S, self._compared_at + COMPARE_EVERY_S))

    def _compare_now(self) -> None:
        self._compared_at = self._loop.time()
        if not self.link.is_settled:
            self.compare_soon()
        self.compare()

    def push(self, records: Sequence[SignedRecord], hops: int) -> None:
        """Send these news, now or as soon as the peer takes more."""
        for begin in range(0, len(records), RECORDS_MAX):
            self._do(self.link.push(records[begin : begin + RECORDS_MAX], hops, self._loop.time()))

    def give(self, ids: Sequence[str], hops: int) -> None:
        """Send these, which the peer asked for."""
        self._do(self.link.give(ids, hops, self._loop.time()))

    def tell(self, message: Have | Want | Prune) -> None:
        self._do(self.link.tell(message, self._loop.time()))

    def close(self, code: Code, detail: str) -> None:
        """End the link, with the reason for the peer. `run` returns when it is over."""
        self._do(self.link.close(code, detail))
        self._end(Ending(code, detail))

    def _do(self, orders: Iterable[Order]) -> None:
        """Carry these out, after those that are being carried out: what one of them leads to comes after all of it."""
        self._orders.extend(orders)
        if self._is_carrying_out:
            return
        self._is_carrying_out = True
        try:
            while self._orders:
                self._carry_out(self._orders.popleft())
        finally:
            self._is_carrying_out = False
        if not self._ended.done():
            self._alarm.set(self.link.next_at)
        self._look_around()

    def _look_around(self) -> None:
        """Tell whoever waits that something has happened."""
        if not self._has_caught_up and self.link.state is LinkState.LIVE:
            self._has_caught_up = True
            self._links.on_caught_up(self)
        self._links.on_changed()

    def _carry_out(self, order: Order) -> None:
        match order:
            case Send():
                self._writer.put(order.text)
            case Take():
                self._tasks.start(self._take(order), "link take")
            case Load():
                self._tasks.start(self._load(order), "link load")
            case PutCursor():
                self._put_cursor(order)
            case Heard():
                self._on_heard(order.message)
            case Opened():
                self._on_opened(order)
            case Found():
                self.counts.repaired += order.have + order.need
            case Close():
                self._end(Ending(order.code, order.detail, order.is_theirs))

    async def _read(self) -> None:
        try:
            while self.link.phase is not Phase.CLOSED:
                while self._is_pressed():
                    self._is_relieved.clear()
                    await self._is_relieved.wait()
                self._attention.since_s = self._loop.time()
                text = await self.wire.receive()
                self._attention.since_s = None
                self.counts.frames_in += 1
                self.counts.bytes_in += len(text)
                self._do(self.link.on_frame(text, self._loop.time()))
                if text.startswith(_DOMAINS):
                    self._links.on_compared(self)
        except ProtocolError as error:
            self.close(error.code, error.detail)
        except WireEndedError as error:
            self._end(Ending(error.code, error.detail, is_theirs=True))

    def _is_pressed(self) -> bool:
        """Whether to let the peer wait."""
        return self.link.is_saturated or self._writer.unsent_bytes > UNSENT_BYTES_MAX or self._lookups >= LOOKUPS_MAX

    def _on_sent(self, size: int) -> None:
        self.counts.frames_out += 1
        self.counts.bytes_out += size
        self._is_relieved.set()

    async def _write(self) -> None:
        try:
            await self._writer.run()
        except WireEndedError as error:
            self._end(Ending(error.code, error.detail, is_theirs=True))

    async def _ping(self) -> None:
        settings = self._node.settings
        try:
            await ping_forever(
                self.wire, settings.ping_interval, settings.peer_timeout, self._attention, self._on_round_trip
            )
            self.close(
                Code.TIMEOUT, f"nothing was heard for {settings.peer_timeout:g} s, not even the answer to a ping"
            )
        except WireEndedError as error:
            self._end(Ending(error.code, error.detail, is_theirs=True))

    def _on_round_trip(self, seconds: float) -> None:
        self.counts.round_trip_s = seconds
        self._links.dissemination.on_round_trip(self.number, seconds)

    async def _take(self, order: Take) -> None:
        trust = self.acquaintance.trust_of(self.link.peer_key)
        origin = Origin(trust, address=self._address if trust is Trust.CLIENT else None)
        delivery = Delivery(waits=True, link=self.number, hops=order.hops, is_news=order.hops > 0)
        outcomes = await take(self._node.ingest, order.items, origin, delivery)
        self.counts.count(outcomes)
        if trust is Trust.PEER:
            self._postponed.put(outcomes)
        self._do(self.link.on_taken(order.seq, outcomes, self._loop.time()))
        self._is_relieved.set()
        if known := known_ids(outcomes):
            self._links.dissemination.on_duplicates(known, order.hops, self.number)
        if refused := refused_ids(outcomes):
            self._links.dissemination.on_refused(refused)

    def _want(self, ids: Sequence[str]) -> None:
        lacked = self._links.unknown(ids)
        if lacked:
            self.tell(Want(tuple(lacked)))

    async def _load(self, order: Load) -> None:
        records = await load(self._node.store, self._links.bodies, order)
        self._do(self.link.on_loaded(order.ticket, records, self._loop.time()))

    def _on_opened(self, order: Opened) -> None:
        self._opened_s = self._loop.time()
        self._links.on_opened(self, order.hello)
        self._tasks.start(self._ping(), "link pings")

    def _on_heard(self, message: Have | Want | Prune) -> None:
        dissemination = self._links.dissemination
        match message:
            case Have():
                self._on_have(message)
            case Want():
                dissemination.on_want(self.number, message)
            case Prune():
                dissemination.on_prune(self.number)

    def _on_have(self, have: Have) -> None:
        unknown = self._links.unknown(have.ids)
        if unknown:
            self._lookups += 1
            self._tasks.start(self._look_up(have, unknown), "link lookup")
        else:
            self._links.dissemination.on_have(self.number, have, lambda _: False)

    async def _look_up(self, have: Have, unknown: Sequence[str]) -> None:
        """Only the store knows whether an id is held that nothing in memory remembers."""
        held = await self._node.store.held(unknown)
        self._lookups -= 1
        self._is_relieved.set()
        lacked = frozenset(self._links.unknown(unknown)) - held
        self._links.dissemination.on_have(self.number, have, lacked.__contains__)

    def _put_cursor(self, order: PutCursor) -> None:
        if not self._cursors:
            self._tasks.start(self._store_cursors_soon(), "link cursors")
        self._cursors[order.domain, order.flow] = order.timestamp

    async def _store_cursors_soon(self) -> None:
        await asyncio.sleep(CURSORS_EVERY_S)
        await self.store_cursors()

    async def store_cursors(self) -> None:
        """Have the store keep how far this link has come."""
        cursors, self._cursors = self._cursors, {}
        name = self.acquaintance.standing.name
        if not cursors or name is None or not self._links.is_listed(name):
            return
        now_s = int(self._node.world.now_s())
        await self._node.store.put_cursors(
            [Cursor(name, domain, flow, min(timestamp, now_s)) for (domain, flow), timestamp in cursors.items()]
        )

    def _on_time(self) -> None:
        self._do(self.link.on_time(self._loop.time()))

    def _end(self, ending: Ending) -> None:
        """The first reason counts."""
        if not self._ended.done():
            self._ended.set_result(ending)
            self._links.on_changed()

    def _on_failure(self, error: BaseException) -> None:
        log.error("a link failed", peer=self.wire.address, exc_info=error)
        self.close(Code.STOPPING, "this node failed, and its log says why")

    async def _say_goodbye(self, ending: Ending) -> None:
        if not ending.is_theirs:
            await self._writer.flushed(CLOSE_S_MAX)
        await self.wire.close(ending.code or Code.UNREACHABLE, ending.detail)

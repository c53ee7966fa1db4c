"""A running link: one link while it lasts, as the tasks that carry out the orders of its machine.

    reader -> machine -> orders -> writer, pipeline, store, gossip

The reader hands one frame after another to the machine. It stops reading while the machine takes in as many frames as
it allows. Then the socket fills up, and the peer has to wait. Several frames are taken in at the same time, so that one
is verified while another is committed.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
import structlog

from node.clocks import ClockReading, least_ahead_s
from node.fairness.byte_budget import ByteBudget
from node.fairness.turns import Piece
from node.intake.arrivals import Delivery, Origin
from node.links.alarm import Alarm
from node.links.cursors import LinkCursors
from node.links.dissemination import Dissemination
from node.links.incoming import Postponed, known_ids, refused_ids, take
from node.links.link_counts import Carried, LinkCounts
from node.links.parts import LinkParts
from node.links.permission import TableSnapshot
from node.links.send_room import SendRoom
from node.links.transport import CLOSE_S_MAX, Transport, TransportEndedError
from node.links.transport_tasks import FrameWriter, Reader, ping_forever
from node.links.work_meter import WorkMeter
from node.store.recent_records import load
from node.tasks import Tasks
from protocol.errors import Code, ProtocolError
from protocol.link.link import Link
from protocol.link.messages import RECORDS_MAX, Erased, Have, Hello, Prune, Want
from protocol.link.orders import Close, Found, Heard, Load, Noticed, Opened, Order, PutCursor, Send, Take
from protocol.link.status import LinkState, Phase
from protocol.link.terms import Flow
from protocol.records.admission import Trust
from protocol.records.record import SignedRecord

UNSENT_BYTES_MAX: Final = 4 * 2**20
"""Bytes that wait for the socket before the link stops reading. This is twice the machine's window, so that only a peer
that asks for records without reading the answers reaches it."""

LOOKUPS_MAX: Final = 4
"""Announcements whose ids are being looked up in the store before the link stops reading."""

COMPARE_AFTER_S: Final = 0.5
COMPARE_EVERY_S: Final = 5.0
"""If records do not follow their announcements, both ends compare their sets after `COMPARE_AFTER_S`, but at most every
`COMPARE_EVERY_S`. Both numbers are guesses."""

_COMPARING: Final = ('{"type":"domains"', '{"type":"reconcile"')
"""How the frames begin after which the two nodes may be in step, if a node of our kind wrote them. For other nodes only
the convergence lag is late."""

_OnHave = Callable[[int, Have, Callable[[str], bool]], None]
"""`Dissemination.on_have` or `Dissemination.on_named`."""

log = structlog.get_logger()


class Ending(msgspec.Struct, frozen=True):
    """Why a link has ended.

    `code` is None if the network ended the link. `is_theirs`: the peer ended it. `open_s` says for how many seconds the
    link was open, 0 if it never was.
    """

    code: str | None
    detail: str
    is_theirs: bool = False
    open_s: float = 0.0

    @property
    def reason(self) -> str:
        return self.detail if self.code is None else f"{self.code}: {self.detail}"


class LinkOwner(Protocol):
    """Who holds the links of a node: each link says what happens on it."""

    def on_opened(self, link: "RunningLink", hello: Hello) -> None:
        """Both ends have proved their keys. `hello` is the peer's."""

    def on_caught_up(self, link: "RunningLink") -> None:
        """Catch-up has ended: from now on the link carries live records only."""

    def on_compared(self, link: "RunningLink") -> None:
        """Both ends have said what they hold, or have reconciled."""

    def on_alive(self, link: "RunningLink") -> None:
        """The peer has answered a ping."""

    def on_notice(self, link: "RunningLink", code: str) -> None:
        """The peer says that something is wrong."""

    def on_changed(self) -> None:
        """Anything has happened on a link."""

    def is_listed(self, name: str) -> bool:
        """Whether the peers table has a peer with this name."""


@dataclass(frozen=True)
class LinkContext:
    """What all links of one node share."""

    parts: LinkParts
    dissemination: Dissemination
    owner: LinkOwner
    meter: WorkMeter
    budget: ByteBudget


class RunningLink:
    """One link of this node.

    `number` names it on this node. `machine` decides what it says, `snapshot` says what its peer may do. `gone` is set
    when nothing of the link is left.
    """

    def __init__(
        self,
        number: int,
        transport: Transport,
        machine: Link,
        snapshot: TableSnapshot,
        address: str | None,
        context: LinkContext,
    ) -> None:
        """`address` is the address that quotas for clients count under, None if it is exempt."""
        parts = context.parts
        self.number = number
        self.transport = transport
        self.machine = machine
        self.snapshot = snapshot
        self.counts = LinkCounts()
        self.gone = asyncio.Event()
        self.address = address
        self._parts = parts
        self._dissemination = context.dissemination
        self._owner = context.owner
        self._meter = context.meter
        self._loop = asyncio.get_running_loop()
        self._tasks = Tasks(self._on_failure)
        self._ended: asyncio.Future[Ending] = self._loop.create_future()
        self._begun_s = parts.world.now_s()
        self._opened_s: float | None = None
        self._clock: ClockReading | None = None
        self._has_caught_up = False
        self._orders: deque[Order] = deque()
        self._is_carrying_out = False
        self._reader = Reader(transport, self._is_pressed)
        self._writer = FrameWriter(transport, SendRoom(context.budget, address or str(number)), self._on_sent)
        self._lookups = 0
        self._cursors = LinkCursors(parts.store, parts.world.now_s, self._listed_name, self._tasks)
        self._alarm = Alarm(self._on_time)
        self._comparison = Alarm(self._compare_now)
        self._compared_at = -COMPARE_EVERY_S
        self._postponed = Postponed(parts.settings.max_skew or 0, parts.world.now_s, self._ask_again)

    @property
    def peer_key(self) -> str | None:
        """The key that the peer has proved, None before."""
        return self.machine.peer_key if self.is_open else None

    @property
    def is_open(self) -> bool:
        return self.machine.phase is Phase.OPEN

    @property
    def open_s(self) -> float:
        """For how many seconds the link has been open."""
        return 0.0 if self._opened_s is None else self._loop.time() - self._opened_s

    @property
    def clock_ahead_s(self) -> float | None:
        """Seconds that the peer's clock was ahead of this node's when the link began. None if it is not known."""
        return None if self._clock is None else self._clock.ahead_now_s(self._parts.world.now_s() - self._loop.time())

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait for the socket."""
        return self._writer.unsent_bytes

    @property
    def ending(self) -> Ending | None:
        """Why the link has ended, None while it lasts."""
        return self._ended.result() if self._ended.done() else None

    def carried(self, direction: Flow) -> Carried:
        """What went in this direction since the link began."""
        counts = self.counts
        if direction is Flow.PULL:
            records = counts.accepted + counts.known + counts.refused
            return Carried(records, counts.known, Counter(counts.refusals))
        status = self.machine.status()
        return Carried(status.sent, 0, Counter(status.refusals_by_them))

    async def run(self) -> Ending:
        """Run the link until one of the two ends closes it, then clean up."""
        try:
            self._tasks.start(self._write(), "link writer")
            self._tasks.start(self._read(), "link reader")
            self._do(self.machine.start(self._loop.time()))
            ending = await self._ended
            await self._say_goodbye(ending)
            return msgspec.structs.replace(ending, open_s=self.open_s)
        finally:
            self._alarm.cancel()
            self._comparison.cancel()
            self._postponed.cancel()
            await self._tasks.close()
            await self.save_cursors()

    def close(self, code: Code, detail: str) -> None:
        """End the link and tell the peer this reason. `run` returns when the link is over."""
        self._do(self.machine.close(code, detail))
        self._end(Ending(code, detail))

    def push(self, records: Sequence[SignedRecord], hops: int) -> None:
        """Send these live records, now or as soon as the peer takes more. See `GossipLink`."""
        for begin in range(0, len(records), RECORDS_MAX):
            part, is_held = records[begin : begin + RECORDS_MAX], self._writer.room.is_full
            self._do(self.machine.push(part, hops, self._loop.time(), is_held=is_held))

    def give(self, ids: Sequence[str], hops: int) -> None:
        """Send the records with these ids, which the peer asked for. See `GossipLink`."""
        self._do(self.machine.give(ids, hops, self._loop.time()))

    def tell(self, message: Have | Want | Prune) -> None:
        """Send this message. See `GossipLink`."""
        self._do(self.machine.tell(message, self._loop.time()))

    def notify(self, code: Code, detail: str) -> None:
        """Tell the peer of something that is wrong, and go on."""
        self._do(self.machine.notify(code, detail))

    def compare(self) -> None:
        """Compare sets with the peer now. The link is open."""
        self._do(self.machine.compare(self._loop.time()))

    def compare_soon(self) -> None:
        """Compare after `COMPARE_AFTER_S`, but at most every `COMPARE_EVERY_S`, and when nothing else is under way.

        A liar can cause comparisons by announcing records that nobody has. So a comparison must cost little: one list
        of domains in each direction.
        """
        self._comparison.set(max(self._loop.time() + COMPARE_AFTER_S, self._compared_at + COMPARE_EVERY_S))

    async def save_cursors(self) -> None:
        """Store how far the link has come."""
        await self._cursors.save()

    def _compare_now(self) -> None:
        self._compared_at = self._loop.time()
        if not self.machine.is_settled:
            self.compare_soon()
        self.compare()

    def _do(self, orders: Iterable[Order]) -> None:
        """Carry out these orders. Orders that they lead to are carried out after all of them."""
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
            self._alarm.set(self.machine.next_at)
        self._tell_owner()

    def _tell_owner(self) -> None:
        if not self._has_caught_up and self.machine.state is LinkState.LIVE:
            self._has_caught_up = True
            self._owner.on_caught_up(self)
        self._owner.on_changed()

    def _carry_out(self, order: Order) -> None:
        match order:
            case Send():
                self._writer.put(order.text)
            case Take():
                self._tasks.start(self._take(order), "link take")
            case Load():
                self._tasks.start(self._load(order), "link load")
            case PutCursor():
                self._cursors.put(order)
            case Heard():
                self._on_heard(order.message)
            case Noticed():
                self._owner.on_notice(self, order.code)
            case Opened():
                self._on_opened(order)
            case Found():
                self.counts.repaired += order.have + order.need
            case Close():
                self._end(Ending(order.code, order.detail, order.is_theirs))

    async def _read(self) -> None:
        try:
            while self.machine.phase is not Phase.CLOSED:
                await self._on_text(await self._reader.next_text())
        except ProtocolError as error:
            self.close(error.code, error.detail)
        except TransportEndedError as error:
            self._on_transport_ended(error)

    async def _on_text(self, text: str) -> None:
        """Handle one frame. Return when this link may be read again."""
        work = self._parts.turns.begin(self._source)
        self.counts.frames_in += 1
        self.counts.bytes_in += len(text)
        self._do(self.machine.on_frame(text, self._loop.time()))
        await self._rest(work, frames=1)
        while self.machine.is_working:
            self._do(self.machine.work(self._loop.time()))
            await self._rest(work)
        if text.startswith(_COMPARING):
            self._owner.on_compared(self)

    async def _rest(self, work: Piece, frames: int = 0) -> None:
        """Give others a turn, and wait while the source of this link has used up its share of a core.

        The two frames of a handshake never wait, because a listed peer shows only by them who it is.
        """
        seconds = await work.rest()
        source, is_listed = self._source, self.snapshot.permission.name is not None
        self._meter.spend(source, seconds, is_listed=self.is_open and is_listed, frames=frames)
        while self.is_open and (pause_s := self._meter.pause_s(source, is_listed=is_listed)) > 0:  # noqa: ASYNC110 - time passes
            await asyncio.sleep(pause_s)
        work.go_on()  # otherwise the pause would count as work, and make the next one longer

    @property
    def _source(self) -> str:
        """Who causes the work of this link: a listed peer, or the address of a stranger."""
        name = self.snapshot.permission.name if self.is_open else None
        return name or self.address or str(self.number)

    def _is_pressed(self) -> bool:
        """Whether the peer has to wait, because this node has enough to do for it."""
        is_saturated = self.machine.is_saturated
        is_unread = self._writer.unsent_bytes > UNSENT_BYTES_MAX or self._writer.room.is_full
        return is_saturated or is_unread or self._lookups >= LOOKUPS_MAX

    async def _write(self) -> None:
        try:
            await self._writer.run()
        except TransportEndedError as error:
            self._on_transport_ended(error)

    def _on_sent(self, size_bytes: int) -> None:
        self.counts.frames_out += 1
        self.counts.bytes_out += size_bytes
        self._reader.relieve()

    async def _ping(self) -> None:
        interval_s, timeout_s = self._parts.settings.ping_interval, self._parts.settings.peer_timeout
        try:
            await ping_forever(self.transport, interval_s, timeout_s, self._reader.has_waited, self._on_round_trip)
            self.close(Code.TIMEOUT, f"nothing was heard for {timeout_s:g} s, not even the answer to a ping")
        except TransportEndedError as error:
            self._on_transport_ended(error)

    def _on_round_trip(self, seconds: float) -> None:
        self.counts.round_trip_s = seconds
        self._dissemination.on_round_trip(self.number, seconds)
        self._owner.on_alive(self)

    async def _take(self, order: Take) -> None:
        """Take in the records of one frame, and tell the machine and gossip what became of them."""
        trust = self.snapshot.trust_of(self.machine.peer_key)
        origin = Origin(trust, address=self.address if trust is Trust.CLIENT else None)
        delivery = Delivery(waits=True, link=self.number, hops=order.hops, is_live=order.hops > 0)
        if origin.address is not None:
            self._meter.spend(self._source, 0.0, is_listed=False, records=len(order.items))
        outcomes = await take(self._parts.ingest, order.items, origin, delivery)
        self.counts.count(outcomes)
        if trust is Trust.PEER:
            self._postponed.put(outcomes)
        self._do(self.machine.on_taken(order.seq, outcomes, self._loop.time()))
        self._reader.relieve()
        if known := known_ids(outcomes):
            self._dissemination.on_duplicates(known, order.hops, self.number)
        if refused := refused_ids(outcomes):
            self._dissemination.on_refused(refused)

    def _ask_again(self, ids: Sequence[str]) -> None:
        """Ask for records that came too early, unless they have come since."""
        lacked = self._dissemination.not_in_memory(ids)
        if lacked:
            self.tell(Want(tuple(lacked)))

    async def _load(self, order: Load) -> None:
        """Read records when the link may hold them and the turn of the loop has time for a frame of them."""
        room = self._writer.room
        await self._writer.wait_for_room()
        bytes_max = min(order.bytes_max, room.load_bytes)
        room.add(bytes_max)
        try:
            records = await load(self._parts.store, self._dissemination.recent, order.ids, bytes_max)
            work = self._parts.turns.begin(self._source)
            await work.rest()
        finally:
            room.add(-bytes_max)
        self._do(self.machine.on_loaded(order.ticket, records, self._loop.time()))
        work.end()

    def _on_opened(self, order: Opened) -> None:
        self._opened_s = self._loop.time()
        if self.snapshot.permission.name is not None:
            self._writer.room.move(None)
        now_s = self._parts.world.now_s()
        if order.hello.time is not None:
            ahead_s = least_ahead_s(order.hello.time, self._begun_s, now_s)
            self._clock = ClockReading(ahead_s, zero_s=now_s - self._opened_s)
        self._owner.on_opened(self, order.hello)
        self._tasks.start(self._ping(), "link pings")

    def _on_heard(self, message: Have | Want | Prune | Erased) -> None:
        match message:
            case Have():
                self._on_have(message, self._dissemination.on_have)
            case Want():
                self._dissemination.on_want(self.number, message)
            case Erased():
                self.counts.erased += len(message.keys)
                self._dissemination.on_erased(self.number, message)
            case Prune():
                self._dissemination.on_prune(self.number)

    def look_for(self, have: Have) -> None:
        """See `GossipLink.look_for`."""
        if self.is_open:
            self._on_have(have, self._dissemination.on_named)

    def _on_have(self, have: Have, decide: _OnHave) -> None:
        unknown = self._dissemination.not_in_memory(have.ids)
        if unknown:
            self._lookups += 1
            self._tasks.start(self._look_up(have, unknown, decide), "link lookup")
        else:
            decide(self.number, have, lambda _: False)

    async def _look_up(self, have: Have, unknown: Sequence[str], decide: _OnHave) -> None:
        """Ask the store, because only it can tell whether the node holds an id that nothing in memory knows."""
        held = await self._parts.store.held(unknown)
        self._lookups -= 1
        self._reader.relieve()
        lacked = frozenset(self._dissemination.not_in_memory(unknown)) - held
        decide(self.number, have, lacked.__contains__)

    def _listed_name(self) -> str | None:
        name = self.snapshot.permission.name
        return name if name is not None and self._owner.is_listed(name) else None

    def _on_time(self) -> None:
        self._do(self.machine.on_time(self._loop.time()))

    def _on_transport_ended(self, error: TransportEndedError) -> None:
        self._end(Ending(error.code, error.detail, is_theirs=True))

    def _end(self, ending: Ending) -> None:
        """End with this reason, unless there is one already."""
        if not self._ended.done():
            self._ended.set_result(ending)
            self._owner.on_changed()

    def _on_failure(self, error: BaseException) -> None:
        log.error("a link failed", peer=self.transport.address, exc_info=error)
        self.close(Code.STOPPING, "this node failed, and its log says why")

    async def _say_goodbye(self, ending: Ending) -> None:
        if not ending.is_theirs:
            await self._writer.flush(CLOSE_S_MAX)
        await self.transport.close(ending.code or Code.UNREACHABLE, ending.detail)

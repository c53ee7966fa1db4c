"""Dissemination: connects the gossip machine of the protocol with the links of one node.

The machine decides, in record ids, which record goes over which link. This module tells the machine what happens, hands
its orders to the links together with the records, and keeps its timer. A record is announced in the same turn of the
event loop in which it is accepted, before it is on disk. That loses nothing if this node dies in between, because each
receiver checks the record as if a stranger had sent it.
"""

import asyncio
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Final, Protocol

from node.intake.arrivals import Delivery
from node.links.alarm import Alarm
from node.store.recent_records import RecentRecords
from protocol.gossip.plumtree import Output, Plumtree, SendHave, SendPrune, SendRecords, SendWant
from protocol.link.messages import Erased, Have, Prune, Want
from protocol.records.record import SignedRecord
from protocol.witness.receipt import receipt_of

_NO_RECORDS: Final[Mapping[str, SignedRecord]] = {}


class GossipLink(Protocol):
    """What gossip needs from a link."""

    def push(self, records: Sequence[SignedRecord], hops: int) -> None:
        """Send these live records. `hops` is the number of links that they have passed so far."""

    def give(self, ids: Sequence[str], hops: int) -> None:
        """Send the records with these ids, which the peer asked for, as soon as they are read."""

    def tell(self, message: Have | Want | Prune) -> None:
        """Send this message."""

    def look_for(self, have: Have) -> None:
        """Ask the peer for those of these records that this node lacks. The peer sent a record that names them."""

    def compare_soon(self) -> None:
        """Compare sets with the peer soon, because announcements were not followed by their records."""


class Dissemination:
    """Carries out what gossip decides. `gossip` is the machine, `recent` holds the records of its announcements."""

    def __init__(
        self, gossip: Plumtree, links: Mapping[int, GossipLink], recent: RecentRecords, uncommitted: Container[str]
    ) -> None:
        """`links` are the node's links by number. `recent` is the one of the commits. `uncommitted` are the ids that
        are accepted and not on disk yet. All of them change while the node runs.
        """
        self.gossip = gossip
        self.recent = recent
        self._links = links
        self._uncommitted = uncommitted
        self._alarm = Alarm(self._on_time)

    def announce(self, records: Sequence[SignedRecord], delivery: Delivery) -> None:
        """Spread records that were accepted just now, each for the first time."""
        self.recent.add(records)
        by_id = {signed.record.id: signed for signed in records}
        self._do(self.gossip.on_records(tuple(by_id), delivery.hops, delivery.link, _now(), delivery.is_live), by_id)
        link = None if delivery.link is None else self._links.get(delivery.link)
        if link is not None:
            of_witnesses = [signed for signed in records if signed.record.label.startswith("@")]  # mostly none
            for named in filter(None, map(_named_by, of_witnesses)):
                link.look_for(Have(named, delivery.hops))

    def not_in_memory(self, ids: Iterable[str]) -> list[str]:
        """Those of the ids that nothing in memory knows, in their order. The store may still hold them."""
        gossip, recent, uncommitted = self.gossip, self.recent, self._uncommitted
        return [each for each in ids if each not in gossip and each not in recent and each not in uncommitted]

    def on_up(self, link: int, *, has_outflow: bool, has_inflow: bool, is_listed: bool) -> None:
        """A link is open. `has_outflow`: records go to the peer. `has_inflow`: records come from it. `is_listed`: the
        peers table has the peer's key.
        """
        self._do(self.gossip.on_up(link, has_outflow, has_inflow, is_listed))

    def on_down(self, link: int) -> None:
        """A link has ended."""
        self._do(self.gossip.on_down(link, _now()))

    def on_duplicates(self, ids: tuple[str, ...], hops: int, link: int) -> None:
        """Records came over a link that this node knew already."""
        self._do(self.gossip.on_duplicates(ids, hops, link, _now()))

    def on_refused(self, ids: tuple[str, ...]) -> None:
        """Records came that this node will never accept."""
        self.gossip.on_refused(ids)
        self._go_on()

    def on_have(self, link: int, have: Have, lacks: Callable[[str], bool]) -> None:
        """A peer announces records. `lacks` says whether this node does not hold the record with an id."""
        self.gossip.on_have(link, have.ids, have.hops, _now(), lacks)
        self._go_on()

    def on_named(self, link: int, have: Have, lacks: Callable[[str], bool]) -> None:
        """A peer sent a record that names these records. `lacks` as for `on_have`."""
        self.gossip.on_named(link, have.ids, have.hops, _now(), lacks)
        self._go_on()

    def on_erased(self, link: int, erased: Erased) -> None:
        """A peer holds records that it does not give."""
        self.gossip.on_erased(link, tuple(record_id for _, record_id in erased.keys), _now())
        self._go_on()

    def on_want(self, link: int, want: Want) -> None:
        """A peer asks for records."""
        self._do(self.gossip.on_want(link, want.ids, want.eager))

    def on_prune(self, link: int) -> None:
        """A peer wants announcements from now on, instead of records."""
        self.gossip.on_prune(link)

    def on_round_trip(self, link: int, round_trip_s: float) -> None:
        """A ping took this many seconds."""
        self.gossip.on_round_trip(link, round_trip_s)

    def close(self) -> None:
        """Stop the timer."""
        self._alarm.cancel()

    def _do(self, outputs: Iterable[Output], live: Mapping[str, SignedRecord] = _NO_RECORDS) -> None:
        """Hand outputs to the links. If `live` is empty, a peer asked for the records, and the link reads them."""
        for output in outputs:
            link = self._links.get(output.link)
            if link is None:
                continue
            match output:
                case SendRecords() if live:
                    link.push([live[each] for each in output.ids], output.hops)
                case SendRecords():
                    link.give(output.ids, output.hops)
                case SendHave():
                    link.tell(Have(output.ids, output.hops))
                case SendWant():
                    link.tell(Want(output.ids, output.eager))
                case SendPrune():
                    link.tell(Prune())
        self._go_on()

    def _go_on(self) -> None:
        for number in self.gossip.take_neglected():
            if number in self._links:
                self._links[number].compare_soon()
        self._alarm.set(self.gossip.next_at)

    def _on_time(self) -> None:
        self._do(self.gossip.on_time(_now()))


def _named_by(signed: SignedRecord) -> tuple[str, ...]:
    """The records that a receipt of a witness names. Whoever has the receipt most likely has these records.

    A node may have refused one of them from a client, for lack of room for another rival. It needs the record after
    all, because it could never count the commits for a record that it does not hold.
    """
    receipt = receipt_of(signed.record) if signed.record.is_of_witnesses else None
    return () if receipt is None else tuple(receipt.named())


def _now() -> float:
    return asyncio.get_running_loop().time()

"""Dissemination: the gossip machine of the protocol, and the node around it.

The machine says which record goes over which link, in ids; here it is told what happens, its orders are handed to the
links with the records' bodies, and its timer is kept. A record is announced in the turn of the loop in which it was
decided, before it is on the disk: whoever receives it checks it as if a stranger had sent it, so nothing is lost where
this node dies in between.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from node.intake.arrivals import Delivery
from node.links.alarm import Alarm
from node.links.recent_records import Bodies
from protocol.gossip.plumtree import Output, Plumtree, SendHave, SendPrune, SendRecords, SendWant
from protocol.link.messages import Have, Prune, Want
from protocol.records.record import SignedRecord

_NO_BODIES: Final[Mapping[str, SignedRecord]] = {}


class Outlet(Protocol):
    """What gossip needs of a link."""

    def push(self, records: Sequence[SignedRecord], hops: int) -> None:
        """Send these news."""

    def give(self, ids: Sequence[str], hops: int) -> None:
        """Send these, which were asked for, as soon as they are read."""

    def tell(self, message: Have | Want | Prune) -> None: ...

    def compare_soon(self) -> None:
        """Look for what was missed, in a while."""


class Dissemination:
    """Carries out what gossip orders, over the links of one node."""

    def __init__(self, gossip: Plumtree, bodies: Bodies, links: Mapping[int, Outlet]) -> None:
        self.gossip = gossip
        self._bodies = bodies
        self._links = links
        self._alarm = Alarm(self._on_time)

    def announce(self, records: Sequence[SignedRecord], delivery: Delivery) -> None:
        """These were decided just now, each for the first time."""
        self._bodies.add(records)
        bodies = {signed.record.id: signed for signed in records}
        self._do(self.gossip.on_records(tuple(bodies), delivery.hops, delivery.link, _now(), delivery.is_news), bodies)

    def on_up(self, link: int, *, has_outflow: bool, has_inflow: bool) -> None:
        self._do(self.gossip.on_up(link, has_outflow, has_inflow))

    def on_down(self, link: int) -> None:
        self._do(self.gossip.on_down(link, _now()))

    def on_duplicates(self, ids: tuple[str, ...], hops: int, link: int) -> None:
        self._do(self.gossip.on_duplicates(ids, hops, link, _now()))

    def on_refused(self, ids: tuple[str, ...]) -> None:
        self.gossip.on_refused(ids)
        self._go_on()

    def on_have(self, link: int, have: Have, lacks: Callable[[str], bool]) -> None:
        self.gossip.on_have(link, have.ids, have.hops, _now(), lacks)
        self._go_on()

    def on_want(self, link: int, want: Want) -> None:
        self._do(self.gossip.on_want(link, want.ids, want.eager))

    def on_prune(self, link: int) -> None:
        self.gossip.on_prune(link)

    def on_round_trip(self, link: int, round_trip_s: float) -> None:
        self.gossip.on_round_trip(link, round_trip_s)

    def close(self) -> None:
        self._alarm.cancel()

    def _do(self, outputs: Iterable[Output], bodies: Mapping[str, SignedRecord] = _NO_BODIES) -> None:
        """`bodies` are those of news; what is pushed otherwise was asked for."""
        for output in outputs:
            link = self._links.get(output.link)
            if link is None:
                continue
            match output:
                case SendRecords() if bodies:
                    link.push([bodies[each] for each in output.ids], output.hops)
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


def _now() -> float:
    return asyncio.get_running_loop().time()

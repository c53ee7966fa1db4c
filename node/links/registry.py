"""Registry: all links of a node, which peers it dials, and which of two links with one peer stays.

The peers table says which peers to dial. Any peer may dial this node. As soon as both ends have proved their keys, two
nodes keep one link: if each has dialled the other, the link that the node with the smaller key dialled stays, and it
does what both tables ask for. If two processes run with a peer's key, because its data folder was copied, the older
link stays, and both are told. If the operator changes a peer's row, the links that depend on it end, and new ones begin
on the new terms.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from node.fairness.places import Source
from node.links.dissemination import Dissemination
from node.links.listed_networks import ListedNetworks
from node.links.opening import TOO_MANY, Entrance, accept, is_linked
from node.links.parts import LinkParts
from node.links.permission import TableSnapshot
from node.links.redialler import Redialler
from node.links.running_link import Ending, LinkContext, RunningLink
from node.links.send_room import send_budget
from node.links.summary import down_summary, link_summary
from node.links.transport import AcceptedTransport, Transport
from node.links.work_meter import WorkMeter
from node.passwords import hidden
from node.peer_state import STEADY_S, Facts
from node.store.contract import Peer
from node.tasks import Tasks
from protocol.errors import Code, ProtocolError
from protocol.gossip.plumtree import Plumtree, PlumtreeLimits
from protocol.link.copies import IS_COPIED
from protocol.link.link import Link
from protocol.link.listing import Listing
from protocol.link.messages import Hello
from protocol.link.terms import Flow, Identity, LinkLimits, Role, Terms
from protocol.sets.erased import ErasedKeys

_NONCE_BYTES: Final = 32

STRANGER_ERASED_MAX: Final = 1_000
"""Erased records that the link of a stranger may name and that are remembered, because anybody can name any number."""

_STOPPING: Final = "this node stops"
_TABLE_CHANGED: Final = "the peers table has changed, and the next link follows the new table"

log = structlog.get_logger()


class Links:
    """The links of one node.

    `by_number` holds the links that run. `peers` is the peers table when it was last read. `limits` are those of new
    links. `watchers` are called after anything happens on a link, when a link has ended, and when one could not be
    made. `turned_away_s` is when a peer last found no place, in seconds since the Unix epoch, None: never.
    """

    def __init__(self, parts: LinkParts, fail: Callable[[BaseException], None]) -> None:
        """`fail` stops the node: it is called with the error if the work on links has ended by itself."""
        self.by_number: dict[int, RunningLink] = {}
        self.peers: Sequence[Peer] = ()
        self.limits = LinkLimits(repair_s=parts.settings.repair_interval)
        self.watchers: list[Callable[[], None]] = []
        gossip = Plumtree(PlumtreeLimits(), parts.world.random)
        self.dissemination = Dissemination(gossip, self.by_number, parts.commits.recent, parts.commits.uncommitted)
        parts.ingest.announcers.append(self.dissemination.announce)
        self._listing = Listing(parts.indexes)
        self._parts = parts
        self._fail = fail
        self._context = LinkContext(
            parts,
            self.dissemination,
            self,
            WorkMeter(self.limits, asyncio.get_running_loop().time, parts.crowd),
            send_budget(),
        )
        self._entrance = Entrance(parts.settings, parts.crowd)
        self._listed_networks = ListedNetworks()
        self.turned_away_s: float | None = None
        self._last_number = 0
        self._erased: dict[str, ErasedKeys] = {}
        """By the name of a listed peer. It outlives the links with the peer, as long as the peer runs."""
        self._rediallers: dict[str, tuple[Redialler, Callable[[], bool]]] = {}
        """By the peer's name: the redialler, and what ends its task."""
        self._tasks = Tasks(self._on_failure)
        self._is_closing = False

    async def start(self) -> None:
        """Begin to dial the peers of the table, now and after each change of it."""
        list(self._listing.frames())  # the first list takes 0.1 s for 10,000 domains, and no later one does
        self._tasks.start(self._watch_peers(), "links watch")

    async def close(self) -> None:
        """Close all links, and wait until they have ended."""
        self._is_closing = True
        links = list(self.by_number.values())
        for link in links:
            link.close(Code.STOPPING, _STOPPING)
        for link in links:
            await link.gone.wait()
        await self._tasks.close()
        self.dissemination.close()

    async def accept(self, request: web.Request, address: str | None) -> web.StreamResponse:
        """Link with the peer that sends this request, and return when the link has ended.

        `address` is the address that the peer's quotas count under, None if it is exempt.

        Raises:
            ProtocolError: `malformed`, `overloaded` or `rate_limited`: no link was opened.
        """
        if self._is_closing:
            raise ProtocolError(Code.OVERLOADED, _STOPPING)
        with self._noting_refusal(), self._entrance.hold_place(self._source_of(address)) as arrival:
            response, transport = await accept(request, self._parts.settings)
            arrival.transport = transport
            await self.link(transport, None, address)
        return response

    def _source_of(self, address: str | None) -> Source:
        """Where a link comes from. None: from this machine."""
        if address is None:
            return Source("", is_stranger=False, has_share=False)
        return Source(address, is_stranger=not self.is_listed_network(address))

    @contextmanager
    def _noting_refusal(self) -> Iterator[None]:
        try:
            yield
        except ProtocolError as error:
            if error.code in (Code.OVERLOADED, Code.RATE_LIMITED):
                self.turned_away_s = self._parts.world.now_s()
            raise

    async def link(self, transport: Transport, row: Peer | None, address: str | None = None) -> Ending:
        """Link over this transport, and return when the link has ended.

        `row` is the row of the peer that was dialled, None if the peer dialled.
        """
        try:
            cursors = await self._parts.store.cursors()
            peers = await self._parts.peers.list()
            snapshot = TableSnapshot(row, peers, cursors, self._parts.settings.domains)
            self._last_number += 1
            machine = self._new_machine(snapshot)
            link = RunningLink(self._last_number, transport, machine, snapshot, address, self._context)
            return await self._run(link)
        finally:
            transport.abort()

    async def _run(self, link: RunningLink) -> Ending:
        self.by_number[link.number] = link
        try:
            if self._is_closing:
                link.close(Code.STOPPING, _STOPPING)
            ending = await link.run()
        finally:
            del self.by_number[link.number]
            self.dissemination.on_down(link.number)
            link.gone.set()
            self.on_changed()
        self._note_copy(link, ending)
        if ending.open_s:
            log.info("link down", peer=self.name_of(link), reason=ending.reason, seconds=round(ending.open_s, 3))
        return ending

    def _new_machine(self, snapshot: TableSnapshot) -> Link:
        parts = self._parts
        role = Role.ACCEPTOR if snapshot.row is None else Role.DIALLER
        nonce = parts.world.token_bytes(_NONCE_BYTES).hex()
        now_s, instance = int(parts.world.now_s()), parts.duplicate_keys.instance
        identity = Identity(parts.key, nonce, parts.agent, now_s, instance)
        return Link(role, identity, partial(self._terms_of, snapshot), self._listing, self.limits, parts.world.random)

    def _terms_of(self, snapshot: TableSnapshot, key: str | None) -> Terms:
        """The terms of a link, with the dropped domains, and what is known of records that a listed peer erased."""
        name = snapshot.permission.name
        erased = ErasedKeys(STRANGER_ERASED_MAX) if name is None else self._erased.setdefault(name, ErasedKeys())
        return msgspec.structs.replace(snapshot.terms_of(key), dropped=self._parts.indexes.dropped, erased=erased)

    def on_opened(self, link: RunningLink, hello: Hello) -> None:
        """Pin the peer's key, end one of two links with the same peer, and let gossip use the one that stays."""
        key, row = hello.node, link.snapshot.row
        if row is not None and row.key is None:
            self._tasks.start(self._parts.peers.pin(row.name, key), "link pin")
        if row is not None and row.name in self._rediallers:
            self._rediallers[row.name][0].instance = hello.instance
        self._parts.duplicate_keys.see(key, hello.instance, self.name_of(link))
        if link.snapshot.permission.name in self._erased:
            self._erased[link.snapshot.permission.name].meet(hello.instance)
        for other in [each for each in self.by_number.values() if each.peer_key == key and each is not link]:
            if not self._settle(other, link):
                return
        for redialler, _ in self._rediallers.values():
            if redialler.peer.key == key or link.snapshot.is_of_row(redialler.peer.name):
                redialler.outage.on_link_open()
        permission = link.snapshot.permission
        transport = link.transport
        if isinstance(transport, AcceptedTransport) and not self._entrance.admit(
            transport, is_listed=permission.name is not None
        ):
            self.turned_away_s = self._parts.world.now_s()
            link.close(Code.OVERLOADED, TOO_MANY)
            return
        if permission.name is not None:
            self._listed_networks.note(permission.name, link.address, link.transport.address)
        self.dissemination.on_up(
            link.number,
            has_outflow=permission.push or hello.pull,
            has_inflow=permission.pull or hello.push,
            is_listed=permission.name is not None,
        )
        log.info("link up", peer=self.name_of(link), role=link.machine.role, agent=hello.agent)
        self._tasks.start(self._check_table(link), "link check")

    def _settle(self, older: RunningLink, newer: RunningLink) -> bool:
        """End one of two links with the same key. Returns whether the newer one stays.

        If two processes run with the key, the older link stays, because otherwise they would replace each other for
        ever. Both are told.
        """
        key = newer.peer_key
        assert key is not None, "an open link has a peer"
        if self._parts.duplicate_keys.is_copied(key) and _are_of_two_processes(older, newer):
            older.notify(Code.DUPLICATE_KEY, IS_COPIED)
            newer.close(Code.DUPLICATE_KEY, IS_COPIED)
            return False
        loser = self._loser(older, newer)
        loser.close(Code.DUPLICATE_LINK, "another link between these two nodes stays")
        return loser is older

    def _note_copy(self, link: RunningLink, ending: Ending) -> None:
        """If the link ended because another node runs with this node's key, note who showed it.

        A peer is believed if this node dialled it, if it has proved this node's key, or if it is in the table and has
        proved its own key.
        """
        if ending.code != Code.DUPLICATE_KEY:
            return
        is_own_key = link.machine.peer_key == self._parts.key.public
        if link.snapshot.row is not None and (is_own_key or ending.is_theirs):
            self.on_copied(link.snapshot.row.name)
        elif is_own_key and not ending.is_theirs:
            self.on_copied(link.transport.address)
        elif ending.is_theirs and ending.open_s > 0:
            self.on_notice(link, Code.DUPLICATE_KEY)

    def on_notice(self, link: RunningLink, code: str) -> None:
        """Note that another node runs with this node's key, if a peer of the table says so."""
        if code == Code.DUPLICATE_KEY and link.snapshot.permission.name is not None:
            self.on_copied(link.snapshot.permission.name)

    def on_copied(self, name: str) -> None:
        """The peer with this name has shown that another node runs with this node's key."""
        self._parts.duplicate_keys.on_told(name)

    def on_alive(self, link: RunningLink) -> None:
        """Note that the process at the other end still runs."""
        if link.peer_key is not None:
            self._parts.duplicate_keys.see(link.peer_key, link.machine.instance, self.name_of(link))

    def on_caught_up(self, link: RunningLink) -> None:
        """Log how much the link has carried, and count this as a comparison."""
        log.info("caught up", peer=self.name_of(link), taken=link.counts.accepted, sent=link.machine.sent)
        self.on_compared(link)

    def on_compared(self, link: RunningLink) -> None:
        """Note whether the two nodes are in step."""
        name = link.snapshot.permission.name
        if name is not None and link.is_open:
            now_s = asyncio.get_running_loop().time()
            self._parts.convergence.compared(name, now_s, is_in_step=link.machine.is_in_step)

    def on_changed(self) -> None:
        """Call the watchers."""
        for watch in self.watchers:
            watch()

    def is_listed(self, name: str) -> bool:
        """Whether the peers table has a peer with this name."""
        return any(peer.name == name for peer in self.peers)

    def is_listed_network(self, network: str) -> bool:
        """Whether a listed peer proved its key at this address or in this IPv6 network."""
        return network in self._listed_networks

    def link_of(self, peer: Peer) -> RunningLink | None:
        """The link with this peer, an open one if there is one."""
        open_link = self._link_with(peer.key)
        return open_link or next((each for each in self.by_number.values() if each.snapshot.is_of_row(peer.name)), None)

    def ending_of(self, peer: Peer) -> Ending | None:
        """Why the last link to this peer, which the node dials, ended or could not be made. None before the first."""
        redialler, _ = self._rediallers.get(peer.name, (None, None))
        return None if redialler is None else redialler.ending

    async def reach(self, peer: Peer) -> RunningLink | None:
        """Return the open link with this peer. If there is none, dial at once; None if that fails."""
        redialler, _ = self._rediallers.get(peer.name, (None, None))
        ending_before = self.ending_of(peer)
        if redialler is not None and not self.is_linked(peer):
            redialler.hurry()
        await self.wait_until(lambda: self.is_linked(peer) or self.ending_of(peer) is not ending_before)
        return self.link_of(peer) if self.is_linked(peer) else None

    def is_linked(self, peer: Peer) -> bool:
        """Whether there is an open link with this peer."""
        link = self.link_of(peer)
        return link is not None and link.is_open

    async def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait until `is_so` returns true. It is called again after anything happens on a link."""
        changed = asyncio.Event()
        self.watchers.append(changed.set)
        try:
            while not is_so():
                changed.clear()
                await changed.wait()
        finally:
            self.watchers.remove(changed.set)

    async def wait_until_unlinked(self, peer: Peer) -> None:
        """Wait while there is a link with the peer's key, whoever dialled it.

        If another process with the same key answered at this peer's address, its link is none of this peer.
        """
        while (link := self._link_with(peer.key)) is not None and not self._is_of_another_process(link, peer):
            await link.gone.wait()

    def _is_of_another_process(self, link: RunningLink, peer: Peer) -> bool:
        """Whether the process that answered last at this peer's address is another one than that of this link."""
        redialler, _ = self._rediallers.get(peer.name, (None, None))
        answered = "" if redialler is None else redialler.instance
        return bool(answered and link.machine.instance) and answered != link.machine.instance

    def summary(self, peer: Peer) -> dict[str, object] | None:
        """The link with this peer as `GET /peers` shows it. None if the node neither has one nor dials the peer."""
        link = self.link_of(peer)
        if link is not None and link.is_open:
            return link_summary(link, is_eager=self.is_eager(link))
        return down_summary(self.ending_of(peer)) if is_linked(peer) else None

    def facts(self, peer: Peer) -> Facts:
        """What the state of this peer is decided from."""
        link = self.link_of(peer)
        redialler, _ = self._rediallers.get(peer.name, (None, None))
        outage = None if redialler is None else redialler.outage
        is_proof = link is not None and not self._is_of_another_process(link, peer)
        if outage is not None and outage.is_flapping:
            is_proof = is_proof and link is not None and link.open_s >= STEADY_S
        return Facts(
            link=link.machine.state if link is not None and link.is_open and is_proof else None,
            failure=None if outage is None else outage.failure,
            is_tried=is_linked(peer) and (peer.push or peer.pull),
        )

    def steps(self, peer: Peer) -> dict[str, str]:
        """By domain: whether both held the same when they last compared; `unknown` if there is no open link."""
        link = self.link_of(peer)
        if link is None or not link.is_open:
            return dict.fromkeys(self._parts.indexes.domains(), "unknown")
        return {domain: status.step for domain, status in link.machine.status().domains.items()}

    def refusals(self, peer: Peer) -> dict[str, dict[str, int]]:
        """How many records were refused on the open link, by direction and then by code. `pull` counts refusals by this
        node, `push` refusals by the peer.
        """
        link = self.link_of(peer)
        is_open = link is not None and link.is_open
        return {flow.value: dict(link.carried(flow).refusals) if link and is_open else {} for flow in Flow}

    def clock_ahead_s(self, peer: Peer) -> float | None:
        """Seconds that the peer's clock was ahead of this node's when the open link began. None if it is not known."""
        link = self.link_of(peer)
        return None if link is None or not link.is_open else link.clock_ahead_s

    def features(self, peer: Peer) -> tuple[str, ...] | None:
        """The features that the peer named when the open link began. None if there is no open link."""
        link = self.link_of(peer)
        return None if link is None or not link.is_open else link.machine.features

    def is_eager(self, link: RunningLink) -> bool:
        """Whether gossip sends records on this link, and not only announcements."""
        return self.dissemination.gossip.is_eager(link.number)

    def name_of(self, link: RunningLink) -> str:
        """The peer's name in logs and metrics: its name in the table, else its key, else its address."""
        name = link.snapshot.permission.name or link.peer_key
        return hidden(name) if name else link.transport.address

    def _link_with(self, key: str | None) -> RunningLink | None:
        if key is None:
            return None
        return next((each for each in self.by_number.values() if each.peer_key == key), None)

    def _loser(self, older: RunningLink, newer: RunningLink) -> RunningLink:
        """Which of two links with one peer ends."""
        if older.machine.role is newer.machine.role:
            # A peer that dials again has lost the older link, but this node may learn of that only much later.
            return older if newer.machine.role is Role.ACCEPTOR else newer
        dialled, accepted = (older, newer) if older.machine.role is Role.DIALLER else (newer, older)
        assert dialled.peer_key is not None, "an open link has a peer"
        return accepted if self._parts.key.public < dialled.peer_key else dialled

    async def _check_table(self, link: RunningLink) -> None:
        """End the link if the table has changed since the link began."""
        self._recheck(link, await self._parts.peers.list())

    def _recheck(self, link: RunningLink, peers: Sequence[Peer]) -> None:
        key = link.peer_key
        if key is not None and not link.snapshot.still_holds(key, peers):
            link.close(Code.RESTART, _TABLE_CHANGED)

    async def _watch_peers(self) -> None:
        try:
            async for peers in self._parts.peers.watch(self._parts.settings.peers_poll):
                self._adopt(peers)
        except Exception as error:
            log.exception("the peers table is no longer followed by links")
            self._fail(error)

    def _adopt(self, peers: Sequence[Peer]) -> None:
        """Dial the peers that the table lists now, and no others, and end the links whose rows have changed."""
        for peer in set(self.peers) - set(peers):
            if not any(other.name == peer.name for other in peers):
                self._parts.convergence.forget(peer.name)
                self._erased.pop(peer.name, None)
        self.peers = peers
        self._listed_networks.keep(peer.name for peer in peers)
        dialled = {peer.name: peer for peer in peers if is_linked(peer) and (peer.push or peer.pull)}
        for link in list(self.by_number.values()):
            self._recheck(link, peers)
        for name in list(self._rediallers):
            if name not in dialled or not self._rediallers[name][0].adopt(dialled[name]):
                _, end = self._rediallers.pop(name)
                self._tasks.start(self._retire(name, end), "link retire")
        for name, peer in dialled.items():
            if name not in self._rediallers:
                redialler = Redialler(peer, self._parts.settings, self._parts.world, self)
                self._rediallers[name] = redialler, self._tasks.start(redialler.run(), "link dialler")
        self.on_changed()

    def _retire(self, name: str, end: Callable[[], bool]) -> Coroutine[Any, Any, None]:
        """Close the links to this row now. The coroutine ends the redialler's task when they are gone."""
        links = [each for each in self.by_number.values() if each.snapshot.is_of_row(name)]
        for link in links:
            link.close(Code.RESTART, _TABLE_CHANGED)

        async def end_after_them() -> None:
            for link in links:
                await link.gone.wait()
            end()

        return end_after_them()

    def _on_failure(self, error: BaseException) -> None:
        log.error("the work on links failed", exc_info=error)
        self._fail(error)


def _are_of_two_processes(one: RunningLink, other: RunningLink) -> bool:
    """Whether the peers at the other ends are two processes. False if one of them does not say its instance."""
    instances = one.machine.instance, other.machine.instance
    return all(instances) and instances[0] != instances[1]

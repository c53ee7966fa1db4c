"""Links: all that a node has, whom it dials, and which of two it keeps.

The peers table says whom to dial; whoever knocks is let in. From the moment that both ends have proved their keys there
is one link a pair: where each has dialled the other, the one that the smaller key dialled stays, and does what both
asked for. When the operator changes a row, the links that stand on it are ended, and made again on the new terms.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiohttp import web

from node.http_sync.report import Job, Report
from node.links import link_sync, summary
from node.links.dissemination import Dissemination
from node.links.opening import Entrance, is_linked, upgrade
from node.links.permission import Acquaintance
from node.links.recent_records import Bodies
from node.links.redialler import Dialler
from node.links.running_link import Ending, Session
from node.links.transport import Wire
from node.peers import hidden
from node.store.contract import Peer
from node.tasks import Tasks
from protocol.errors import Code, ProtocolError
from protocol.gossip.plumtree import Plumtree, PlumtreeLimits
from protocol.link.link import Link
from protocol.link.messages import Hello
from protocol.link.status import Step
from protocol.link.terms import Identity, LinkLimits, Role

if TYPE_CHECKING:
    from node.node import Node

_NONCE_BYTES: Final = 32
_TABLE_CHANGED: Final = "the peers table has changed: the next link goes by what it says now"

log = structlog.get_logger()


class Links:
    """The links of one node. `bodies` are the records that they will be asked for next, `limits` those of new links."""

    def __init__(self, node: "Node", agent: str) -> None:
        """`agent` is what peers are told that this node runs."""
        self.node = node
        self.bodies = Bodies()
        self.sessions: dict[int, Session] = {}
        self._agent = agent
        self._last_number = 0
        self.watchers: list[Callable[[], None]] = []
        """Called after whatever happens on a link, when one has ended, and when one could not be made."""
        self._diallers: dict[str, tuple[Dialler, Callable[[], bool]]] = {}
        self.peers: Sequence[Peer] = ()
        self._entrance = Entrance(node.settings)
        self._tasks = Tasks(self._on_failure)
        self._is_closing = False
        self.limits = LinkLimits(repair_s=node.settings.repair_interval)
        gossip = Plumtree(PlumtreeLimits(), node.world.random)
        self.dissemination = Dissemination(gossip, self.bodies, self.sessions)
        node.ingest.announcers.append(self.dissemination.announce)

    async def start(self) -> None:
        """Begin to dial the peers of the table, now and whenever it changes."""
        self._tasks.start(self._watch(), "links watch")

    async def close(self) -> None:
        """Say goodbye on all links, and end them."""
        self._is_closing = True
        sessions = list(self.sessions.values())
        for session in sessions:
            session.close(Code.STOPPING, "this node stops")
        for session in sessions:
            await session.gone.wait()
        await self._tasks.close()
        self.dissemination.close()

    async def accept(self, request: web.Request, address: str | None) -> web.StreamResponse:
        """Be linked with whoever asks, until the link ends. `address` is what its quotas count under, None: exempt.

        Raises:
            ProtocolError: `malformed`, `overloaded` or `rate_limited`: no link was opened.
        """
        if self._is_closing:
            raise ProtocolError(Code.OVERLOADED, "this node stops")
        proven = sum(each.is_open and each.link.role is Role.ACCEPTOR for each in self.sessions.values())
        with self._entrance.entered(address, proven):
            response, wire = await upgrade(request, self.node.settings)
            await self.link(wire, None, address)
        return response

    async def link(self, wire: Wire, row: Peer | None, address: str | None = None) -> Ending:
        """Be linked over this wire until the link ends. `row` is the one that was dialled, None: it is we who were."""
        try:
            cursors = await self.node.store.cursors()
            peers = await self.node.peers.list()
            acquaintance = Acquaintance(row, peers, cursors, self.node.settings.domains)
            self._last_number += 1
            ending = await self._run(Session(self, self._last_number, wire, acquaintance, address))
        finally:
            wire.abort()
        return ending

    async def _run(self, session: Session) -> Ending:
        self.sessions[session.number] = session
        try:
            if self._is_closing:
                session.close(Code.STOPPING, "this node stops")
            ending = await session.run()
        finally:
            del self.sessions[session.number]
            self.dissemination.on_down(session.number)
            session.gone.set()
            self.on_changed()
        if ending.open_s:
            log.info("link down", peer=self.name_of(session), reason=ending.reason, seconds=round(ending.open_s, 3))
        return ending

    def machine(self, acquaintance: Acquaintance) -> Link:
        """A new link's machine."""
        world = self.node.world
        role = Role.ACCEPTOR if acquaintance.row is None else Role.DIALLER
        identity = Identity(self.node.key, world.token_bytes(_NONCE_BYTES).hex(), self._agent)
        return Link(role, identity, acquaintance.terms_of, self.node.indexes, self.limits, world.random)

    def on_opened(self, session: Session, hello: Hello) -> None:
        """Both ends have proved their keys."""
        key, row = hello.node, session.acquaintance.row
        if row is not None and row.key is None:
            self._tasks.start(self.node.peers.pin(row.name, key), "link pin")
        for other in [each for each in self.sessions.values() if each.peer_key == key and each is not session]:
            loser = self._loser(other, session)
            loser.close(Code.DUPLICATE_LINK, "another link between these two nodes stays")
            if loser is session:
                return
        standing = session.acquaintance.standing
        self.dissemination.on_up(
            session.number,
            has_outflow=standing.push or hello.pull,
            has_inflow=standing.pull or hello.push,
        )
        log.info("link up", peer=self.name_of(session), role=session.link.role, agent=hello.agent)
        self._tasks.start(self._check(session), "link check")

    def on_caught_up(self, session: Session) -> None:
        """Nothing is left to do on it but to carry what is new."""
        counts, status = session.counts, session.link.status()
        log.info("caught up", peer=self.name_of(session), taken=counts.accepted, sent=status.sent)
        self.on_compared(session)

    def on_compared(self, session: Session) -> None:
        """The two have said what they hold."""
        name = session.acquaintance.standing.name
        if name is not None and session.is_open:
            steps = [each.step for each in session.link.status().domains.values()]
            now_s = asyncio.get_running_loop().time()
            self.node.convergence.compared(name, now_s, is_identical=all(step is Step.IDENTICAL for step in steps))

    def session_of(self, peer: Peer) -> Session | None:
        """The link with this peer, an open one if there is one."""
        linked = self._linked_with(peer.key)
        return linked or next((each for each in self.sessions.values() if each.acquaintance.is_of_row(peer.name)), None)

    def ending_of(self, peer: Peer) -> Ending | None:
        """Why the last link with this peer, which is dialled here, ended; None where there was none."""
        dialler, _ = self._diallers.get(peer.name, (None, None))
        return None if dialler is None else dialler.ending

    async def dialled(self, peer: Peer) -> Session | None:
        """The open link with this peer, dialled at once if there is none; None where that fails."""
        dialler, _ = self._diallers.get(peer.name, (None, None))
        ending_before = self.ending_of(peer)
        if dialler is not None and not self._is_linked(peer):
            dialler.hurry()
        await self.until(lambda: self._is_linked(peer) or self.ending_of(peer) is not ending_before)
        return self.session_of(peer) if self._is_linked(peer) else None

    def _is_linked(self, peer: Peer) -> bool:
        session = self.session_of(peer)
        return session is not None and session.is_open

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until this is so; it is asked after whatever happens on a link."""
        changed = asyncio.Event()
        self.watchers.append(changed.set)
        try:
            while not is_so():
                changed.clear()
                await changed.wait()
        finally:
            self.watchers.remove(changed.set)

    def on_changed(self) -> None:
        """Something has happened: tell whoever watches."""
        for watch in self.watchers:
            watch()

    def shown(self, peer: Peer) -> dict[str, object] | None:
        """See `summary.shown`."""
        return summary.shown(self, peer)

    def steps(self, peer: Peer) -> dict[str, str]:
        """See `summary.steps`."""
        return summary.steps(self, peer)

    async def run(self, peer: Peer, job: Job) -> Report:
        """Compare with this peer now; see `link_sync.run`."""
        return await link_sync.run(self, peer, job)

    def is_listed(self, name: str) -> bool:
        """Whether the table has a peer of this name."""
        return any(peer.name == name for peer in self.peers)

    def unknown(self, ids: Iterable[str]) -> list[str]:
        """Those of the ids that nothing in memory remembers, in their order."""
        recent, uncommitted = self.dissemination.gossip, self.node.commits.uncommitted
        return [each for each in ids if each not in recent and each not in self.bodies and each not in uncommitted]

    async def until_unlinked(self, peer: Peer) -> None:
        """Wait as long as there is a link with the peer's key, whoever dialled."""
        while (session := self._linked_with(peer.key)) is not None:
            await session.gone.wait()

    def _linked_with(self, key: str | None) -> Session | None:
        if key is None:
            return None
        return next((each for each in self.sessions.values() if each.peer_key == key), None)

    def _loser(self, older: Session, newer: Session) -> Session:
        """Which of two links with one peer goes."""
        if older.link.role is newer.link.role:
            # Who dials anew has lost the older one, which may take long to show itself here.
            return older if newer.link.role is Role.ACCEPTOR else newer
        dialled, accepted = (older, newer) if older.link.role is Role.DIALLER else (newer, older)
        assert dialled.peer_key is not None, "an open link has a peer"
        return accepted if self.node.key.public < dialled.peer_key else dialled

    async def _check(self, session: Session) -> None:
        """The table may have changed since this link began."""
        self._recheck(session, await self.node.peers.list())

    def _recheck(self, session: Session, peers: Sequence[Peer]) -> None:
        key = session.peer_key
        if key is not None and not session.acquaintance.still_holds(key, peers):
            session.close(Code.RESTART, _TABLE_CHANGED)

    async def _watch(self) -> None:
        try:
            async for peers in self.node.peers.watch(self.node.settings.peers_poll):
                self._adopt(peers)
        except Exception as error:
            log.exception("the peers table is no longer followed by links")
            self.node.fail(error)

    def _adopt(self, peers: Sequence[Peer]) -> None:
        """Dial whom the table lists, and nobody else; end the links that it says something else of now."""
        for peer in set(self.peers) - set(peers):
            if not any(other.name == peer.name for other in peers):
                self.node.convergence.forget(peer.name)
        self.peers = peers
        listed = {peer.name: peer for peer in peers if is_linked(peer) and (peer.push or peer.pull)}
        for session in list(self.sessions.values()):
            self._recheck(session, peers)
        for name in list(self._diallers):
            if name not in listed or not self._diallers[name][0].adopts(listed[name]):
                _, end = self._diallers.pop(name)
                self._tasks.start(self._retire(name, end), "link retire")
        for name, peer in listed.items():
            if name not in self._diallers:
                dialler = Dialler(self, peer)
                self._diallers[name] = dialler, self._tasks.start(dialler.run(), "link dialler")
        self.on_changed()

    def _retire(self, name: str, end: Callable[[], bool]) -> Coroutine[Any, Any, None]:
        """End a dialler, after its link has said goodbye."""
        sessions = [each for each in self.sessions.values() if each.acquaintance.is_of_row(name)]
        for session in sessions:
            session.close(Code.RESTART, _TABLE_CHANGED)

        async def end_after_them() -> None:
            for session in sessions:
                await session.gone.wait()
            end()

        return end_after_them()

    def name_of(self, session: Session) -> str:
        """What logs and figures call the other end."""
        name = session.acquaintance.standing.name or session.peer_key
        return hidden(name) if name else session.wire.address

    def _on_failure(self, error: BaseException) -> None:
        log.error("the work on links failed", exc_info=error)
        self.node.fail(error)

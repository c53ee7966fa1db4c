"""Standing: what the peers table of this node says of whoever is at the other end of a link.

A dialler knows the row that it dialled. An acceptor looks for the key that the other end claims, and has to prove: only
rows with that key count, whatever their URL, and what several of them say is added up. A key that no row has is a
client: it may ask, and what it sends is admitted as anybody's.
"""

from collections.abc import Sequence

import msgspec

from node.store.contract import Cursor, Peer
from protocol.link.terms import Flow, Terms
from protocol.records.admission import Trust


class Standing(msgspec.Struct, frozen=True):
    """`name` is the peer's in the table, under which its cursors are kept; None: no row has it. `key` is pinned."""

    name: str | None = None
    push: bool = False
    pull: bool = False
    is_accepted: bool = False
    key: str | None = None

    @property
    def trust(self) -> Trust:
        """Whoever we ask for records is believed in what it sends, and so is whoever may push."""
        return Trust.PEER if self.pull or self.is_accepted else Trust.CLIENT


def of_row(row: Peer, peers: Sequence[Peer], key: str | None = None) -> Standing:
    """Of the peer that was dialled, which showed this key, or, before that, the one of its row.

    What another row accepts from that key is accepted here too: where both dial, it depends on two keys which of the
    two links stays, and what may be pushed must not.
    """
    known = row.key or key
    others = [peer for peer in peers if known is not None and peer.key == known]
    is_accepted = row.is_accepted or any(peer.is_accepted for peer in others)
    return Standing(row.name, row.push, row.pull, is_accepted, row.key)


def of_key(key: str, peers: Sequence[Peer]) -> Standing:
    """Of whoever dialled us and claims this key. Rows with a URL come first: they are asked for, and have cursors."""
    rows = sorted((peer for peer in peers if peer.key == key), key=lambda peer: (peer.url is None, peer.name))
    if not rows:
        return Standing()
    return Standing(
        rows[0].name,
        any(peer.push for peer in rows),
        any(peer.pull for peer in rows),
        any(peer.is_accepted for peer in rows),
        key,
    )


class Acquaintance:
    """The table as it was when a link began, for the link's machine to ask once: `standing` is what came of it."""

    def __init__(
        self, row: Peer | None, peers: Sequence[Peer], cursors: Sequence[Cursor], kept: Sequence[str] | None
    ) -> None:
        """`row` is the one that was dialled, None: it is we who were. `kept` are the domains of the settings."""
        self.row = row
        self.standing = Standing() if row is None else of_row(row, peers)
        self._peers = peers
        self._cursors = cursors
        self._kept = None if kept is None else frozenset(kept)

    def is_of_row(self, name: str) -> bool:
        """Whether the row of this name was dialled."""
        return self.row is not None and self.row.name == name

    def terms_of(self, key: str | None) -> Terms:
        """The terms for this key; None: for the row that was dialled."""
        if key is not None:
            self.standing = of_key(key, self._peers)
        standing = self.standing
        cursors = {(it.domain, Flow(it.direction)): it.timestamp for it in self._cursors if it.peer == standing.name}
        return Terms(
            push=standing.push,
            pull=standing.pull,
            trust=standing.trust,
            cursors=cursors,
            kept=self._kept,
            expected_key=standing.key,
        )

    def trust_of(self, key: str | None) -> Trust:
        """How what comes from the holder of this key is admitted."""
        return self.standing.trust if self.row is None else of_row(self.row, self._peers, key).trust

    def still_holds(self, key: str, peers: Sequence[Peer]) -> bool:
        """Whether the table still says the same of the peer that showed this key."""
        row = self.row
        if row is None:
            return of_key(key, peers) == self.standing
        listed = next((of_row(peer, peers, key) for peer in peers if peer.name == row.name), None)
        before = of_row(row, self._peers, key)
        return listed is not None and listed.key in (None, key) and _pinned(listed, key) == _pinned(before, key)


def _pinned(standing: Standing, key: str) -> Standing:
    return msgspec.structs.replace(standing, key=key)

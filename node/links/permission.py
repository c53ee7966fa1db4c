"""Permission: what the peers table of this node allows the peer at the other end of a link.

A dialler knows the row that it dialled. An acceptor looks up the key that the peer claims and then has to prove. Only
rows with that key count, whatever their URL, and a peer may do what any of them allows. A peer whose key is in no row
is a client: it may ask for records, and its own records are admitted like those of any client.
"""

from collections.abc import Sequence

import msgspec

from node.store.contract import Cursor, Peer
from protocol.link.terms import Flow, Terms
from protocol.records.admission import Trust


class Permission(msgspec.Struct, frozen=True):
    """What one peer may do.

    `name` is the peer's name in the table, under which its cursors are stored; None if no row has its key. `push`: this
    node pushes to the peer. `pull`: this node pulls from it. `is_accepted`: the peer may push. `key` is the key that
    the table pins the peer to, 64 hex digits.
    """

    name: str | None = None
    push: bool = False
    pull: bool = False
    is_accepted: bool = False
    key: str | None = None

    @property
    def trust(self) -> Trust:
        """A peer that this node pulls from, or that may push, is trusted as a peer, and any other as a client."""
        return Trust.PEER if self.pull or self.is_accepted else Trust.CLIENT


def permission_of_row(row: Peer, peers: Sequence[Peer], key: str | None = None) -> Permission:
    """The permission of the peer that was dialled by `row`. `key` is the key that it showed, None before.

    If another row accepts pushes from the same key, this link accepts them too. If both nodes dial, the two keys decide
    which of the two links stays, and a peer's right to push must not depend on that.
    """
    known = row.key or key
    others = [peer for peer in peers if known is not None and peer.key == known]
    is_accepted = row.is_accepted or any(peer.is_accepted for peer in others)
    return Permission(row.name, row.push, row.pull, is_accepted, row.key)


def permission_of_key(key: str, peers: Sequence[Peer]) -> Permission:
    """The permission of a peer that dialled us and claims this key.

    Rows with a URL come first, because their names have cursors.
    """
    rows = sorted((peer for peer in peers if peer.key == key), key=lambda peer: (peer.url is None, peer.name))
    if not rows:
        return Permission()
    return Permission(
        rows[0].name,
        any(peer.push for peer in rows),
        any(peer.pull for peer in rows),
        any(peer.is_accepted for peer in rows),
        key,
    )


class TableSnapshot:
    """The peers table as it was when a link began, and the permission that follows from it.

    `row` is the row that was dialled, None if the peer dialled. `permission` is that of the row; if the peer dialled,
    it is empty until the peer has claimed its key.
    """

    def __init__(
        self, row: Peer | None, peers: Sequence[Peer], cursors: Sequence[Cursor], kept: Sequence[str] | None
    ) -> None:
        """`peers` and `cursors` are the whole tables. `kept` are the domains that the node keeps, None: all."""
        self.row = row
        self.permission = Permission() if row is None else permission_of_row(row, peers)
        self._peers = peers
        self._cursors = cursors
        self._kept = None if kept is None else frozenset(kept)

    def is_of_row(self, name: str) -> bool:
        """Whether the row with this name was dialled."""
        return self.row is not None and self.row.name == name

    def terms_of(self, key: str | None) -> Terms:
        """The link's terms for a peer that dialled us and claims this key; None: for the row that was dialled."""
        if key is not None:
            self.permission = permission_of_key(key, self._peers)
        permission = self.permission
        cursors = {(it.domain, Flow(it.direction)): it.timestamp for it in self._cursors if it.peer == permission.name}
        return Terms(
            push=permission.push,
            pull=permission.pull,
            trust=permission.trust,
            cursors=cursors,
            kept=self._kept,
            expected_key=permission.key,
        )

    def trust_of(self, key: str | None) -> Trust:
        """How records from the holder of this key are admitted."""
        return self.permission.trust if self.row is None else permission_of_row(self.row, self._peers, key).trust

    def still_holds(self, key: str, peers: Sequence[Peer]) -> bool:
        """Whether the table, now `peers`, still says the same about the peer that proved this key."""
        row = self.row
        if row is None:
            return permission_of_key(key, peers) == self.permission
        now = next((permission_of_row(peer, peers, key) for peer in peers if peer.name == row.name), None)
        before = permission_of_row(row, self._peers, key)
        return now is not None and now.key in (None, key) and _pinned(now, key) == _pinned(before, key)


def _pinned(permission: Permission, key: str) -> Permission:
    return msgspec.structs.replace(permission, key=key)

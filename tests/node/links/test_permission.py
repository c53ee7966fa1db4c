"""What the peers table allows a peer, whichever node dialled."""

from node.links.permission import TableSnapshot, permission_of_key, permission_of_row
from node.store.contract import Peer
from protocol.records.admission import Trust
from tests.history import ALICE, BOB

ROW = Peer(url="ws://one:1", push=True)
ACCEPTING = Peer(key=ALICE.public, accept=True)


def test_the_permission_to_push_does_not_depend_on_who_dialled() -> None:
    """If both nodes dial, two keys decide which of the two links stays."""
    pinned = Peer(url=ROW.url, push=True, key=ALICE.public)

    dialled = permission_of_row(pinned, [pinned, ACCEPTING])
    accepted = permission_of_key(ALICE.public, [pinned, ACCEPTING])

    assert dialled == accepted
    assert dialled.trust is Trust.PEER


def test_a_key_that_is_not_pinned_counts_as_soon_as_the_peer_shows_it() -> None:
    snapshot = TableSnapshot(ROW, [ROW, ACCEPTING], [], None)

    assert snapshot.trust_of(None) is Trust.CLIENT
    assert snapshot.trust_of(ALICE.public) is Trust.PEER
    assert snapshot.trust_of(BOB.public) is Trust.CLIENT


def test_a_permission_holds_until_the_rows_with_the_key_of_the_peer_change() -> None:
    snapshot = TableSnapshot(ROW, [ROW, ACCEPTING], [], None)
    pinned = Peer(url=ROW.url, push=True, key=ALICE.public)

    assert snapshot.still_holds(ALICE.public, [pinned, ACCEPTING])
    assert not snapshot.still_holds(ALICE.public, [pinned])

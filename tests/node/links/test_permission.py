"""What the peers table says of the other end, whichever of the two dialled."""

from node.links.permission import TableSnapshot, permission_of_key, permission_of_row
from node.store.contract import Peer
from protocol.records.admission import Trust
from tests.history import ALICE, BOB

ROW = Peer(url="ws://one:1", push=True)
ACCEPTING = Peer(key=ALICE.public, accept=True)


def test_what_may_be_pushed_does_not_depend_on_who_dialled() -> None:
    """Where both dial, one link stays, and which one depends on two keys."""
    pinned = Peer(url=ROW.url, push=True, key=ALICE.public)

    dialled = permission_of_row(pinned, [pinned, ACCEPTING])
    accepted = permission_of_key(ALICE.public, [pinned, ACCEPTING])

    assert dialled == accepted
    assert dialled.trust is Trust.PEER


def test_a_key_that_is_not_pinned_yet_counts_once_it_was_shown() -> None:
    snapshot = TableSnapshot(ROW, [ROW, ACCEPTING], [], None)

    assert snapshot.trust_of(None) is Trust.CLIENT
    assert snapshot.trust_of(ALICE.public) is Trust.PEER
    assert snapshot.trust_of(BOB.public) is Trust.CLIENT


def test_a_link_holds_until_what_is_accepted_from_its_key_changes() -> None:
    snapshot = TableSnapshot(ROW, [ROW, ACCEPTING], [], None)
    pinned = Peer(url=ROW.url, push=True, key=ALICE.public)

    assert snapshot.still_holds(ALICE.public, [pinned, ACCEPTING])
    assert not snapshot.still_holds(ALICE.public, [pinned])

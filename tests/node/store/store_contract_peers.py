"""What every store must do with peers and their cursors."""

import msgspec
import pytest

from node.store.contract import Cursor, Peer, Store
from tests.history import ALICE, BOB
from tests.node.store.store_batches import Contract


class PeersContract(Contract):
    async def test_peers_are_stored_by_url_or_without_a_url_by_key(self, store: Store) -> None:
        dialled = Peer(url="ws://one", push=True, pull=True, accept=False, key=ALICE.public)
        dialling = Peer(accept=True, key=ALICE.public)
        other = Peer(url="https://two", push=True, accept=None)

        for peer in (dialled, dialling, other):
            await store.put_peer(peer)

        assert await store.peers() == sorted([dialled, dialling, other], key=lambda peer: peer.name)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (Peer(url="http://one", push=True), Peer(url="http://one", pull=True, accept=True, key=BOB.public)),
            (Peer(key=BOB.public, accept=True), Peer(key=BOB.public, accept=False, push=True)),
        ],
    )
    async def test_a_peer_that_is_put_again_is_replaced_and_keeps_its_cursors(
        self, store: Store, before: Peer, after: Peer
    ) -> None:
        cursor = Cursor(before.name, "test", "pull", 1)
        await store.put_peer(before)
        await store.put_cursors([cursor])

        await store.put_peer(after)

        assert await store.peers() == [after]
        assert await store.cursors() == [cursor]

    async def test_pinning_a_key_changes_only_the_key_and_only_if_there_was_none(self, store: Store) -> None:
        unpinned = Peer(url="http://one", push=True, pull=True, accept=False)
        other = Peer(url="http://pinned", key=BOB.public)
        await store.put_peer(unpinned)
        await store.put_peer(other)

        pinned = [await store.pin_peer(name, ALICE.public) for name in ("http://one", "http://pinned", "http://gone")]

        assert pinned == [True, False, False]
        assert await store.peers() == [msgspec.structs.replace(unpinned, key=ALICE.public), other]

    @pytest.mark.parametrize("peer", [Peer(url="http://one", key=BOB.public), Peer(key=BOB.public)])
    async def test_removing_a_peer_removes_its_cursors(self, store: Store, peer: Peer) -> None:
        other = Peer(url="http://other", pull=True)
        kept = Cursor(other.name, "test", "pull", 2)
        await store.put_peer(peer)
        await store.put_peer(other)
        await store.put_cursors([Cursor(peer.name, "test", "pull", 1), kept])

        assert await store.remove_peer(peer.name) is True

        assert await store.peers() == [other]
        assert await store.cursors() == [kept]
        assert await store.remove_peer(peer.name) is False

    async def test_there_is_one_cursor_for_each_peer_domain_and_direction(self, store: Store) -> None:
        cursors = {
            Cursor(peer, domain, direction, 1)
            for peer in ("http://one", "http://two")
            for domain in ("a", "b")
            for direction in ("push", "pull")
        }
        await store.put_cursors(list(cursors))
        moved = Cursor("http://one", "a", "push", 2**53 - 1)

        await store.put_cursors([moved])

        assert set(await store.cursors()) == cursors - {Cursor("http://one", "a", "push", 1)} | {moved}
        assert len(await store.cursors()) == 8

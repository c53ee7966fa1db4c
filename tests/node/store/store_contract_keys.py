"""What every store must do with the keys that a label named, of which a listed peer can bring any number."""

import msgspec

from node.store.contract import Batch, Store
from protocol.records.named_keys import FEW_KEYS, named_keys
from protocol.records.replay import EMPTY, State, Verdict
from protocol.signing import SigningKey
from tests.history import ALICE
from tests.node.store.store_batches import batch_of, claim

GARDEN = ("test", "garden")
NAMES = [SigningKey(b"%032d" % number).public for number in range(5 * FEW_KEYS)]


async def read(store: Store) -> State:
    (state,) = (await store.states([GARDEN])).values()
    return state


class KeysContract:
    """The tests of named keys."""

    async def test_keys_that_are_named_one_after_another_are_all_remembered(self, store: Store) -> None:
        """A commit goes on from the state before, in memory, and now and then from the state that was read."""
        state = EMPTY
        for number, name in enumerate(NAMES, 1):
            batch = batch_of([claim(at=number, newowner=name)], {GARDEN: state})
            await store.commit(batch)
            state = batch.states[GARDEN] if number % (2 * FEW_KEYS) else await read(store)

        found = await read(store)

        assert found == state
        assert found.named == {ALICE.public, *NAMES}

    async def test_keys_that_a_late_record_keeps_from_being_named_are_forgotten(self, store: Store) -> None:
        first = claim(at=1)
        batch = batch_of([first])
        state = msgspec.structs.replace(batch.states[GARDEN], named=named_keys([ALICE.public, *NAMES]))
        await store.commit(Batch(records=batch.records, states={GARDEN: state}))

        found = []
        for fewer in (NAMES[FEW_KEYS:], NAMES[:3], []):
            state = msgspec.structs.replace(state, named=named_keys([ALICE.public, *fewer]))
            await store.commit(Batch(verdicts={first.record.id: Verdict.FOUNDED}, states={GARDEN: state}))
            found.append((await read(store)).named)

        assert found == [{ALICE.public, *NAMES[FEW_KEYS:]}, {ALICE.public, *NAMES[:3]}, {ALICE.public}]

"""Loading: the records that a link's machine asks to read, from memory where they are recent, else from the store."""

from node.links.bodies import Bodies
from node.store.contract import Store
from protocol.link.orders import Load
from protocol.records.record import SignedRecord

_STORE_READ_RECORDS = 128
"""Records read from the store at once: 8 MiB at most."""


async def load(store: Store, bodies: Bodies, order: Load) -> list[SignedRecord]:
    """The records of the order that are held, in its order, up to its bytes though never none for their size."""
    loaded: list[SignedRecord] = []
    size_bytes = 0
    for begin in range(0, len(order.ids), _STORE_READ_RECORDS):
        ids = order.ids[begin : begin + _STORE_READ_RECORDS]
        found = bodies.get(ids)
        missing = [each for each in ids if each not in found]
        if missing:
            found |= {each: stored.signed for each, stored in (await store.records(missing)).items()}
        for signed in [found[each] for each in ids if each in found]:
            size_bytes += len(signed.record.canonical)
            if size_bytes > order.bytes_max and loaded:
                return loaded
            loaded.append(signed)
    return loaded

"""Random batches as the protocol makes them, and everything that a store answers about them."""

from collections.abc import Iterator
from random import Random
from typing import Any

import msgspec

from node.store.contract import Batch, LabelKey, Selection, Store
from node.store.removals import Target
from protocol.records.record import Record
from protocol.steps import finish
from protocol.witness.recall import Known, Overview, Wanted
from tests.history import ALICE, BOB, CAROL, NOWHERE, PEOPLE, claim, signed
from tests.node.store.store_batches import all_keys, stored
from tests.node.store.store_contract_witnesses import ALL, DOMAIN, NOBODY, WITNESS
from tests.protocol.records.timelines import timeline_of

DOMAINS = ("a", "a.b", "b")
TARGETS = (
    Target(domain="a"),
    Target(domain="a", label="garden"),
    Target(key=ALICE.public),
    Target(key=BOB.public, domain="b"),
)
LABELS = ("garden", "Garden", "\u00e9\U0001f331", "x'; DROP TABLE records; --", '"$1"\\')


def random_batches(random: Random, count: int = 12) -> Iterator[Batch]:
    """Each batch brings a few records of a few labels, some of them older than what is there."""
    histories: dict[LabelKey, list[Record]] = {}
    for _ in range(count):
        batch = Batch()
        for _ in range(random.randint(1, 6)):
            key = (random.choice(DOMAINS), random.choice(LABELS))
            history = histories.setdefault(key, [])
            record = _random_record(random, key, history)
            if key not in batch.states and record.id not in {each.id for each in history}:
                _insert(batch, key, history, record)
        yield batch


def _random_record(random: Random, key: LabelKey, history: list[Record]) -> Record:
    fields: dict[str, Any] = {"n": random.randint(0, 3), "text": "\u2028 \U0001f331 \\ ' $1"}
    to = random.choice((None, None, ALICE, BOB, CAROL))
    if to is not None:
        fields["newowner"] = to.public
    prev = random.choice((None, None, NOWHERE, *(record.id for record in history)))
    return claim(key[1], random.choice(PEOPLE), random.randint(1, 9), prev=prev, domain=key[0], **fields)


def _insert(batch: Batch, key: LabelKey, history: list[Record], record: Record) -> None:
    change = finish(timeline_of(history).insert([record]))
    history.append(record)
    verdicts = dict(change.verdicts)
    batch.records.append(stored(signed(record), verdicts.pop(record.id)))
    batch.verdicts |= verdicts
    batch.states[key] = change.state
    batch.events += change.events


async def everything(store: Store) -> dict[str, object]:
    """All that a store says about these labels."""
    labels = [(domain, label) for domain in DOMAINS for label in LABELS]
    ids = [past.record.id for key in labels for past in await store.history(*key)]
    selections = (Selection(), Selection(domains=frozenset(["a"])), Selection(labels=frozenset(LABELS[3:])))
    return {
        "states": await store.states(labels),
        "histories": [await store.history(*key) for key in labels],
        "outlines": [await store.outline(*key) for key in labels],
        "records": await store.records([NOWHERE, *ids]),
        "first records": await store.records(ids, 500),
        "held": await store.held([NOWHERE, *ids]),
        "heads": [await store.head(*key) for key in labels],
        "pages": [await store.heads(domain, None, since, 4) for domain in (None, *DOMAINS) for since in (0, 5)],
        "short pages": await store.heads(None, ("a", "garden"), 0, 10, bytes_max=300),
        "prefix": await store.heads("a", None, 0, 10, "x'"),
        "owners": [await store.heads_of_owner(key.public, None, None, 0, 5) for key in PEOPLE],
        "keys": await all_keys(store),
        "events": [await store.events(2, 20, selection, 30) for selection in selections],
        "last": await store.last_event(),
        "usage": (await store.domain_usage(), await store.key_usage([key.public for key in PEOPLE])),
        "largest": [await store.largest_keys(domain, 3) for domain in (None, *DOMAINS)],
        "founded": await store.labels_founded([(domain, key.public) for domain in DOMAINS for key in PEOPLE]),
        "removals": (await store.removals.list(None, 10), await store.removals.dropped()),
        "erasures": await store.removals.erasures([NOWHERE, *ids]),
        "counted": [await store.removals.count(target) for target in TARGETS],
    }


async def all_of_witnesses(store: Store) -> dict[str, object]:
    """All that a store says about the domain of the contract of witnesses."""
    labels = dict.fromkeys(["absent", *(each.record.label for each in ALL)])
    ids = dict.fromkeys([NOBODY, *(each.record.id for each in ALL)])
    places = {(WITNESS, prev): None for prev in (None, *ids, *(each.record.prev for each in ALL))}
    return {
        "overview": _in_order(await store.overview(DOMAIN)),
        "known": [_in_order(await store.known(DOMAIN, wanted)) for wanted in (Wanted(labels), Wanted({}, ids, places))],
        "spoken": [await store.spoken(DOMAIN, witness, it) for witness in (WITNESS, NOBODY) for it in (None, *ids)],
        "states": await store.states([(DOMAIN, label) for label in labels]),
        "founded": await store.labels_founded([(DOMAIN, key.public) for key in PEOPLE]),
    }


def _in_order(found: Overview | Known) -> Overview | Known:
    """The same, with lists in an order where the contract promises none."""
    if isinstance(found, Overview):
        return msgspec.structs.replace(found, forks=sorted(found.forks, key=lambda fork: fork.receipts))
    labels = {label: sorted(records, key=lambda it: it.id) for label, records in found.labels.items()}
    return msgspec.structs.replace(found, labels=labels)

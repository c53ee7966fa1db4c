"""Labels of witnessed domains as the store has them, for all who look at them and decide nothing.

The intake has parts of a domain in memory, which run ahead of the disk. An answer must not say more than the disk
holds. So whoever answers reads the label from the store, at one moment, and walks it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import islice
from typing import Final

import msgspec

from node.store.contract import Store
from protocol.witness.domain import Contender
from protocol.witness.label import WitnessedLabel
from protocol.witness.policy import Policy
from protocol.witness.recall import Wanted
from protocol.witness.testimony import Evidence

_LABELS_AT_ONCE: Final = 500


class StoredLabel(msgspec.Struct, frozen=True):
    """A label with records. `evidence` gives what was said of a record id."""

    label: WitnessedLabel
    evidence: Callable[[str], Evidence]


async def read_label(store: Store, domain: str, policy: Policy | None, label: str) -> StoredLabel | None:
    """The label as it is after the last commit; None if it has no records."""
    return (await _read(store, domain, policy, {label: None})).get(label)


async def read_contenders(store: Store, domain: str, policy: Policy) -> AsyncIterator[list[Contender]]:
    """The candidates of a domain that can still win, in pages."""
    labels = iter((await store.overview(domain)).undecided)
    while page := dict.fromkeys(islice(labels, _LABELS_AT_ONCE)):
        found = await _read(store, domain, policy, page)
        yield [
            Contender(record, it.evidence(record.id)) for it in found.values() for record in it.label.all_contenders()
        ]


async def _read(store: Store, domain: str, policy: Policy | None, labels: dict[str, None]) -> dict[str, StoredLabel]:
    known = await store.known(domain, Wanted(labels=labels))
    walked: dict[str, WitnessedLabel] = {}
    for _ in known.walk(walked, policy, known.evidence):
        await asyncio.sleep(0)  # a label may be long: others get a turn
    return {name: StoredLabel(label, known.evidence) for name, label in walked.items()}

"""Skeletons: what stays of a record after its body was erased on one node.

A skeleton has every field that replay reads: domain, label, signer, timestamp, offer and `prev`. The claim itself is
gone, so the bytes do not hash to the id any more and the signature does not fit them. No node sends a skeleton to
another node, and erasing never changes what is valid: a record is erased on one node only.

The fields stand in the opposite of the canonical order. `Record.is_erased` tells a skeleton by that, because no
canonical record begins with its timestamp: `domain` sorts before it. Spaces fill the skeleton up to the length of the
record, so that a store can overwrite the record where it stands.
"""

from typing import Final

import msgspec

from protocol.records.record import Record

_FIELDS: Final = ("timestamp", "signedby", "prev", "newowner", "label", "domain")


def skeleton_of(record: Record) -> bytes:
    """The skeleton that replaces the canonical bytes of this record. It has the same length."""
    values = {name: getattr(record, name) for name in _FIELDS}
    skeleton = msgspec.json.encode({name: value for name, value in values.items() if value is not None})
    assert len(skeleton) <= len(record.canonical), "a record holds all fields of its skeleton"
    return skeleton.ljust(len(record.canonical))

"""What an examination reads of a store: its version, and what people and nodes wrote beside the records."""

from collections.abc import Sequence

import msgspec

from node.store.contract import Cursor, Peer
from node.store.removals import Removal


class Inspection(msgspec.Struct, frozen=True):
    """`version` counts the migrations of the store, `version_known` the migrations that this program knows.

    `removals` are those that are not finished.
    """

    version: int
    version_known: int
    peers: list[Peer]
    cursors: list[Cursor]
    removals: Sequence[Removal] = ()

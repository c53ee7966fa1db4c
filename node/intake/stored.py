"""What a node holds: its store, and what it keeps of the store in memory."""

import msgspec

from node.indexes import Indexes
from node.intake.witnessed_domains import WitnessedDomains
from node.store.contract import Store
from protocol.records.admission import Amount


class Stored(msgspec.Struct, frozen=True):
    """`indexes`, `witnessed` and `usage`, how much each domain has, are read from the store when the node starts. The
    intake keeps them up to date.
    """

    store: Store
    indexes: Indexes
    witnessed: WitnessedDomains
    usage: dict[str, Amount]

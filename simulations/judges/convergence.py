"""In the end: whatever one node holds is held by every node that it is to flow to.

What is not there yet is named: node, record and way, so that a run which does not end well says where to look.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from node.node import Node
from protocol.sets.index import EMPTY, key_id, key_timestamp
from simulations.cast.machine import Machine
from simulations.cast.tie import Tie

_SHOWN: Final = 8


class Missing(msgspec.Struct, frozen=True):
    """Records that `source` holds and `target` lacks, though they are to flow there; `why` if a node is down."""

    source: str
    target: str
    domain: str
    ids: list[str]
    why: str = ""

    def __str__(self) -> str:
        names = ", ".join(record_id[:8] for record_id in self.ids[:_SHOWN])
        count = f"{len(self.ids)} records" if self.ids else self.why
        return f"{self.target} lacks {count} of {self.domain} that {self.source} holds: {names}".rstrip(": ")


def find_missing(machines: Mapping[str, Machine], ties: Sequence[Tie]) -> list[Missing]:
    """What has not yet come to where it is to be, flow by flow."""
    found = []
    for source, target in dict.fromkeys(flow for tie in ties for flow in tie.flows):
        giver, taker = machines[source].node, machines[target].node
        if giver is None or taker is None:
            found.append(Missing(source, target, "", [], "whatever, as one of the two is down"))
            continue
        for domain in giver.indexes.domains():
            lacking = _lacking(giver, taker, domain)
            if lacking:
                found.append(Missing(source, target, domain, lacking))
    return found


def _lacking(giver: Node, taker: Node, domain: str) -> list[str]:
    """The ids that one holds and the other lacks, if it keeps the domain and their time has come there."""
    theirs, ours = giver.indexes.get(domain), taker.indexes.get(domain) or EMPTY
    kept = taker.settings.domains
    if theirs is None or theirs.fingerprint() == ours.fingerprint() or (kept is not None and domain not in kept):
        return []
    skew = taker.settings.max_skew
    newest = None if skew is None else int(taker.world.now_s()) + skew
    return [
        key_id(key).hex()
        for key in sorted(set(theirs).difference(ours))
        if newest is None or key_timestamp(key) <= newest
    ]

"""At the end, every node holds each record that can flow to it from a node that holds the record.

A record that is missing is named with its source and its target, so that a run which does not converge says where to
look.
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
    """Records of one domain that `source` holds and `target` lacks, although they flow from one to the other.

    `why`: in the place of the ids, if one of the two nodes is down.
    """

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
    """The records that have not arrived yet, by direction of flow."""
    found = []
    for source, target in dict.fromkeys(flow for tie in ties for flow in tie.flows):
        giver, taker = machines[source].node, machines[target].node
        if giver is None or taker is None:
            found.append(Missing(source, target, "", [], "whatever, as one of the two is down"))
            continue
        for domain in giver.indexes.domains():
            lacking = _lacking(giver, taker, domain, machines[source].disk.erased())
            if lacking:
                found.append(Missing(source, target, domain, lacking))
    return found


def _lacking(giver: Node, taker: Node, domain: str, erased: frozenset[bytes]) -> list[str]:
    """The ids that the giver holds and the taker lacks. Leaves out domains that the taker does not keep, records that
    are too new for its clock, and those that are `erased` where the giver is.
    """
    theirs, ours = giver.indexes.get(domain), taker.indexes.get(domain) or EMPTY
    kept = taker.settings.domains
    is_kept = domain not in taker.indexes.dropped and (kept is None or domain in kept)
    if theirs is None or theirs.fingerprint() == ours.fingerprint() or not is_kept:
        return []
    skew = taker.settings.max_skew
    newest = None if skew is None else int(taker.world.now_s()) + skew
    return [
        key_id(key).hex()
        for key in sorted(set(theirs).difference(ours))
        if (newest is None or key_timestamp(key) <= newest) and key_id(key) not in erased
    ]

"""Features: what a node knows beside the first version of the contract. Both sides name theirs in `hello` and `/node`.

A node of an older version refuses the records that witnesses sign, so it and this node would differ for ever in a
witnessed domain. So records of witnessed domains flow only between nodes that both name the feature.
"""

from collections.abc import Collection
from typing import Final

from protocol.link.terms import Holdings
from protocol.records.record import is_witnessed
from protocol.sets.index import Index

WITNESS: Final = "witness"

FEATURES: Final = (WITNESS,)
"""Those of this version."""


def is_shared(domain: str, features: Collection[str]) -> bool:
    """Whether records of this domain may flow to and from a node with these features."""
    return WITNESS in features or not is_witnessed(domain)


class SharedHoldings:
    """What this node holds, without the domains that the peer cannot share."""

    def __init__(self, holdings: Holdings, features: Collection[str]) -> None:
        """`features`: those of the peer."""
        self._holdings = holdings
        self._features = features

    def domains(self) -> list[str]:
        return [domain for domain in self._holdings.domains() if is_shared(domain, self._features)]

    def get(self, domain: str) -> Index | None:
        return self._holdings.get(domain) if is_shared(domain, self._features) else None

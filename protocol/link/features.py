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
        self._all: list[str] = []
        self._shared: list[str] = []

    def domains(self) -> list[str]:
        """Those of the last call, if the node holds the same domains as then: 10,000 names take 5 ms to look at."""
        names = self._holdings.domains()
        if names != self._all:
            self._all, self._shared = names, [name for name in names if is_shared(name, self._features)]
        return list(self._shared)

    def get(self, domain: str) -> Index | None:
        return self._holdings.get(domain) if is_shared(domain, self._features) else None

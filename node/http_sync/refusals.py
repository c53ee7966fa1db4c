"""Refusals: why a node refuses records that another node offers, and what an operator does about it.

A sync report counts refused records by code. The same code has another cause in each direction: for `pull` this node
refuses, for `push` the peer refuses.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from protocol.errors import Code
from protocol.link.terms import Flow

_ACCEPT_US: Final = (
    "the peer treats this node as a client: list this node's key there, `dnarc peers add --key KEY --accept`"
)
_INVALID_HERE: Final = (
    "the peer finds them invalid: `dnarc rebuild --check` on this node's folder shows whether it is damaged"
)
_INVALID_THERE: Final = "the peer offers invalid records: its store is damaged, or it is hostile"

_REMEDIES: Final[Mapping[Flow, Mapping[str, str]]] = MappingProxyType(
    {
        Flow.PULL: {
            Code.TOO_NEW: "they are ahead of this node's clock and come again when their time has come: set the clocks",
            Code.UNKNOWN_DOMAIN: "this node does not keep the domain: see its setting `domains`, or its domains_max",
            Code.OVERLOADED: "this node has too much to do: the next sync goes on from here",
            Code.STORAGE_FULL: "free space on this node's disk: the next sync goes on from here",
            Code.MALFORMED: "their labels begin with @, which a newer version uses: this node skips them",
            Code.TOO_LARGE: _INVALID_THERE,
            Code.BAD_SIGNATURE: _INVALID_THERE,
        },
        Flow.PUSH: {
            Code.TOO_NEW: "they are ahead of the peer's clock and go again when their time has come: set the clocks",
            Code.TOO_OLD: _ACCEPT_US,
            Code.NOT_WELCOME: _ACCEPT_US,
            Code.NOT_OWNER: _ACCEPT_US,
            Code.STALE: _ACCEPT_US,
            Code.UNKNOWN_DOMAIN: "the peer does not keep the domain: see its setting `domains`, or its domains_max",
            Code.RATE_LIMITED: "the peer limits this address: let it list this node, or wait for the next sync",
            Code.OVERLOADED: "the peer has too much to do: the next sync goes on from here",
            Code.STORAGE_FULL: "free space on the peer's disk: the next sync goes on from here",
            Code.QUOTA_EXCEEDED: "the peer keeps no more of this domain or key from strangers: let it accept this node",
            Code.MALFORMED: "their labels begin with @, which a newer version uses: the peer skips them",
            Code.TOO_LARGE: _INVALID_HERE,
            Code.BAD_SIGNATURE: _INVALID_HERE,
        },
    }
)


def remedy_of(direction: Flow, code: str) -> str:
    """Why the receiver of this direction refuses records with this code, and what to do. `code` may be any string."""
    return _REMEDIES[direction].get(code, "this code comes from a newer version: the protocol's documentation names it")


def counts_in_words(refusals: Mapping[Code, int] | Mapping[str, int]) -> str:
    """The counts in one line, the largest first: `3 too_old, 1 stale`. Empty if nothing was refused."""
    return ", ".join(
        f"{count} {code}" for code, count in sorted(refusals.items(), key=lambda item: (-item[1], item[0]))
    )

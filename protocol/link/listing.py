"""The list of what this node holds, as all its links send it.

A peer asks for the list with a frame of a few bytes, and the list of 10,000 domains takes 1 MB. So all links of a node
share one listing, which makes a page again only if a domain on it has changed. Records are never removed, so a domain
has changed if its number of records has.
"""

from collections.abc import Collection, Sequence

import msgspec

from protocol.link.features import WITNESS, SharedHoldings
from protocol.link.messages import DOMAINS_PAGE_MAX, Domains, Summary, encode
from protocol.link.terms import Holdings
from protocol.sets.index import EMPTY, Index


class _Page(msgspec.Struct, frozen=True):
    """One frame of the list, and the names and numbers of records that it was made of."""

    names: Sequence[str]
    counts: Sequence[int]
    has_more: bool
    frame: str


class Listing:
    """Makes the list of these holdings, which are what the node has committed."""

    def __init__(self, holdings: Holdings) -> None:
        self.holdings = holdings
        self._pages: list[_Page] = []
        self._for_older: Listing | None = None
        """For peers that do not know witnesses, once there is one."""

    def shared_with(self, features: Collection[str]) -> "Listing":
        """The listing for a peer with these features, without the domains that it cannot share."""
        if WITNESS in features:
            return self
        if self._for_older is None:
            self._for_older = Listing(SharedHoldings(self.holdings, features))
        return self._for_older

    def frames(self) -> list[str]:
        """The list as it is now, in frames; one frame without domains if the node holds nothing."""
        names = self.holdings.domains()
        begins = range(0, len(names) or 1, DOMAINS_PAGE_MAX)
        self._pages = [
            self._page(number, names[begin : begin + DOMAINS_PAGE_MAX], has_more=begin + DOMAINS_PAGE_MAX < len(names))
            for number, begin in enumerate(begins)
        ]
        return [page.frame for page in self._pages]

    def index(self, domain: str) -> Index:
        """The index of what the node holds now."""
        return self.holdings.get(domain) or EMPTY

    def _page(self, number: int, names: Sequence[str], *, has_more: bool) -> _Page:
        counts = [len(self.index(name)) for name in names]
        if number < len(self._pages):
            last = self._pages[number]
            if (last.names, last.counts, last.has_more) == (names, counts, has_more):
                return last
        frame = encode(Domains({name: summary_of(self.index(name)) for name in names}, more=has_more))
        return _Page(names, counts, has_more, frame)


def summary_of(index: Index) -> Summary:
    """What a list says of one domain."""
    return Summary(len(index), index.fingerprint().hex(), index.newest)

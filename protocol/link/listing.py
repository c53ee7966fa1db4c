"""The list of what this node holds, as all its links send it.

A peer asks for the list with a frame of a few bytes, and the list of 10,000 domains takes 1 MB. So all links of a node
share one listing, which makes a page again only if a domain on it has changed. Records are never removed, so a domain
has changed if its number of records has.

A page takes some milliseconds, so a list is sent page by page, and a node does other things between two pages. Each
page says what the node holds when the page is made.
"""

from collections.abc import Collection, Iterator, Sequence

import msgspec

from protocol.link.features import WITNESS, SharedHoldings
from protocol.link.messages import DOMAINS_PAGE_MAX, Domains, Summary, encode
from protocol.link.orders import Outbox
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

    def frames(self) -> Iterator[tuple[str, bool]]:
        """The list of the domains that are held now, in frames, and of each frame whether another one follows. A frame
        is made when it is asked for. There is one frame without domains if the node holds nothing.
        """
        names = self.holdings.domains()
        begins = range(0, len(names) or 1, DOMAINS_PAGE_MAX)
        del self._pages[len(begins) :]
        for number, begin in enumerate(begins):
            end = begin + DOMAINS_PAGE_MAX
            page = self._page(number, names[begin:end], has_more=end < len(names))
            self._pages[number : number + 1] = [page]
            yield page.frame, page.has_more

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


class ListSender:
    """Sends the list over one link, a page at a time."""

    def __init__(self, listing: Listing, outbox: Outbox) -> None:
        self._listing = listing
        self._outbox = outbox
        self._frames: Iterator[tuple[str, bool]] | None = None
        self._is_asked_again = False
        self.next_at: float | None = None
        """When to send the next page: at once; None: no page is left."""

    def begin(self, now: float) -> None:
        """Send the first page. While a list is being sent, another one follows it, because the peer would take pages of
        two lists for one list.
        """
        if self._frames is not None:
            self._is_asked_again = True
            return
        self._frames, self.next_at = self._listing.frames(), now
        self.send_page()

    def send_page(self) -> None:
        """Send the next page."""
        assert self._frames is not None, "called while a page is left"
        frame, has_more = next(self._frames)
        self._outbox.put_frame(frame)
        if not has_more:
            self._frames = self._listing.frames() if self._is_asked_again else None
            self._is_asked_again = False
            self.next_at = None if self._frames is None else self.next_at


def summary_of(index: Index) -> Summary:
    """What a list says of one domain."""
    return Summary(len(index), index.fingerprint().hex(), index.newest)

"""Comparison: each side of a link lists what it holds of every domain, and the other side looks for differences."""

from collections.abc import Collection

from protocol.errors import Code, ProtocolError
from protocol.link.features import is_shared
from protocol.link.listing import Listing, summary_of
from protocol.link.messages import CaughtUp, Domains, Summary
from protocol.link.terms import LinkLimits
from protocol.sets.erased import ErasedKeys
from protocol.sets.index import EMPTY, Index
from protocol.sets.paging import fingerprint_of_second


class Comparison:
    """What the peer has said that it holds, beside what this node holds."""

    def __init__(self, listing: Listing, limits: LinkLimits, features: Collection[str], erased: ErasedKeys) -> None:
        """`listing`: what this node has committed and the peer can share. Of `limits`, only `domains_max` counts here.
        `features`: those of the peer; the domains that it cannot share are left out of its list. `erased`: records that
        one side cannot get from the other.
        """
        self.erased = erased
        self._features = features
        self._listing = listing
        self._limits = limits
        self._pages: dict[str, Summary] = {}
        self._theirs: dict[str, Summary] | None = None
        self.doubtful: set[str] = set()
        """Domains that differed when the peer's last list came, and of which nothing better is known since."""

    @property
    def is_known(self) -> bool:
        """Whether the peer has sent one complete list."""
        return self._theirs is not None

    def on_page(self, page: Domains) -> bool:
        """Read a page of the peer's list; returns whether the list is complete.

        Raises:
            ProtocolError: `malformed` for an empty page that is not the last; `too_large` for too many domains.
        """
        if page.more and not page.domains:
            raise ProtocolError(Code.MALFORMED, "an empty page of domains that is not the last")
        self._pages |= {name: held for name, held in page.domains.items() if is_shared(name, self._features)}
        if len(self._pages) > self._limits.domains_max:
            detail = f"{len(self._pages)} domains listed: {self._limits.domains_max} at most"
            raise ProtocolError(Code.TOO_LARGE, detail)
        if not page.more:
            self._theirs, self._pages = self._pages, {}
        return not page.more

    def on_caught_up(self, message: CaughtUp) -> bool:
        """Read what the peer now holds of one domain; returns whether it counts.

        It does not count before the first complete list, nor for a domain beyond the limit.
        """
        domain = message.domain
        if self._theirs is None or (domain not in self._theirs and len(self._theirs) >= self._limits.domains_max):
            return False
        self._theirs[domain] = Summary(message.count, message.fingerprint, self.theirs(domain).newest)
        return True

    def index(self, domain: str) -> Index:
        """The index of what this node holds now."""
        return self._listing.index(domain)

    def ours(self, domain: str) -> Summary:
        """What this node holds now."""
        return summary_of(self.index(domain))

    def theirs(self, domain: str) -> Summary:
        """What the peer last said; nothing, if it did not list the domain."""
        return (self._theirs or {}).get(domain, _NOTHING)

    def is_same(self, domain: str) -> bool:
        """Whether what the peer last said is what this node holds now, but for records that were erased."""
        return self.erased.is_same(domain, self.index(domain), self.theirs(domain).fingerprint)

    def our_second(self, domain: str, timestamp: int) -> str | None:
        """The fingerprint of what this node holds with exactly this timestamp, in seconds; None: no record."""
        return fingerprint_of_second(self.index(domain), timestamp)

    def their_second(self, domain: str, timestamp: int) -> str | None:
        """The fingerprint of what the peer holds with exactly this timestamp, in seconds; None: no record, or not
        known.

        The peer's list says it if the peer holds exactly our oldest records.
        """
        ours, theirs = self.index(domain), self.theirs(domain)
        is_known = theirs.count <= len(ours) and ours.fingerprint(0, theirs.count).hex() == theirs.fingerprint
        return fingerprint_of_second(ours, timestamp, theirs.count) if is_known else None

    def domains(self) -> list[str]:
        """Every domain that either side holds, sorted."""
        ours = self._listing.holdings.domains()
        others = set(self._theirs or ()).difference(ours)
        return sorted([*ours, *others]) if others else ours

    def confirm(self, domain: str) -> None:
        """Both sides hold the same in this domain, or at least neither lacks a record that should flow to it."""
        self.doubtful.discard(domain)

    def counts(self, domain: str) -> tuple[int, int | None]:
        """How many records this node holds, and how many the peer has said that it holds; None before its list."""
        return len(self.index(domain)), self.theirs(domain).count if self.is_known else None


_NOTHING = summary_of(EMPTY)

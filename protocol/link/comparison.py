"""Do both hold the same? Each side lists what it holds of every domain, and the other compares."""

from collections.abc import Iterator

from protocol.errors import Code, ProtocolError
from protocol.link.messages import DOMAINS_PAGE_MAX, CaughtUp, Domains, Summary
from protocol.link.status import DomainStatus, Step
from protocol.link.terms import Holdings, LinkLimits
from protocol.sets.index import EMPTY, Index


def summary_of(index: Index | None) -> Summary:
    index = EMPTY if index is None else index
    return Summary(len(index), index.fingerprint().hex(), index.newest)


_NOTHING = summary_of(None)


class Comparison:
    """What the peer has said that it holds, beside what this node holds."""

    def __init__(self, holdings: Holdings, limits: LinkLimits) -> None:
        self._holdings = holdings
        self._limits = limits
        self._pages: dict[str, Summary] = {}
        self._theirs: dict[str, Summary] | None = None
        self._steps: dict[str, Step] = {}

    @property
    def is_known(self) -> bool:
        """Whether the peer has sent one whole list."""
        return self._theirs is not None

    def list_pages(self) -> Iterator[Domains]:
        """This node's list; one empty page where it holds nothing."""
        names = self._holdings.domains()
        for begin in range(0, len(names) or 1, DOMAINS_PAGE_MAX):
            page = {name: self.ours(name) for name in names[begin : begin + DOMAINS_PAGE_MAX]}
            yield Domains(page, more=begin + DOMAINS_PAGE_MAX < len(names))

    def on_page(self, page: Domains) -> bool:
        """A page of the peer's list; returns whether it is complete.

        Raises:
            ProtocolError: `too_large`.
        """
        if page.more and not page.domains:
            raise ProtocolError(Code.MALFORMED, "an empty page of domains that is not the last")
        self._pages |= page.domains
        if len(self._pages) > self._limits.domains_max:
            detail = f"{len(self._pages)} domains listed: {self._limits.domains_max} at most"
            raise ProtocolError(Code.TOO_LARGE, detail)
        if not page.more:
            self._theirs, self._pages = self._pages, {}
        return not page.more

    def on_caught_up(self, message: CaughtUp) -> None:
        """The peer has said anew what it holds of one domain."""
        domain = message.domain
        if self._theirs is not None and (domain in self._theirs or len(self._theirs) < self._limits.domains_max):
            self._theirs[domain] = Summary(message.count, message.fingerprint, self.theirs(domain).newest)
            self.is_same(domain)

    def ours(self, domain: str) -> Summary:
        """What this node holds now."""
        return summary_of(self._holdings.get(domain))

    def theirs(self, domain: str) -> Summary:
        """What the peer last said; nothing, where it did not list the domain."""
        return (self._theirs or {}).get(domain, _NOTHING)

    def is_same(self, domain: str) -> bool:
        """Whether what the peer last said is what this node holds now."""
        ours, theirs = self.ours(domain), self.theirs(domain)
        is_same = (ours.count, ours.fingerprint) == (theirs.count, theirs.fingerprint)
        self._steps[domain] = Step.IDENTICAL if is_same else Step.DIFFERS
        return is_same

    def domains(self) -> list[str]:
        """Every domain that either side holds, sorted."""
        return sorted({*self._holdings.domains(), *(self._theirs or ())})

    def status(self, domain: str, *, is_catching_up: bool) -> DomainStatus:
        step = self._steps.get(domain, Step.UNKNOWN)
        index = self._holdings.get(domain)
        theirs = self.theirs(domain).count if self.is_known else None
        return DomainStatus(step, 0 if index is None else len(index), theirs, is_catching_up)

"""The list of domains is made again page by page, and only where something has changed."""

from protocol.link.listing import Listing, summary_of
from protocol.link.messages import DOMAINS_PAGE_MAX, Domains, decode
from protocol.sets.index import Index
from tests.history import claim, signed
from tests.protocol.link.wire import Holdings


def filled(domains: int) -> Holdings:
    holdings = Holdings()
    for number in range(domains):
        holdings.add(signed(claim("garden", domain=f"domain-{number:05}")))
    return holdings


def listed(frames: list[str]) -> list[tuple[int, bool]]:
    """The number of domains of each page, and whether another page follows."""
    pages = [decode(frame) for frame in frames]
    return [(len(page.domains), page.more) for page in pages if isinstance(page, Domains)]


def test_a_node_that_holds_nothing_sends_one_page_without_domains() -> None:
    assert listed(Listing(Holdings()).frames()) == [(0, False)]


def test_a_list_has_as_many_pages_as_it_needs() -> None:
    frames = Listing(filled(DOMAINS_PAGE_MAX + 1)).frames()

    assert listed(frames) == [(DOMAINS_PAGE_MAX, True), (1, False)]


def test_a_page_on_which_nothing_has_changed_is_the_same_text() -> None:
    holdings = filled(2 * DOMAINS_PAGE_MAX)
    listing = Listing(holdings)
    first, second = listing.frames()

    holdings.add(signed(claim("garden", at=2, domain="domain-00000")))
    first_again, second_again = listing.frames()

    assert second_again is second
    assert first_again != first


def test_a_new_domain_moves_the_domains_after_it() -> None:
    holdings = filled(DOMAINS_PAGE_MAX)
    listing = Listing(holdings)
    listing.frames()

    holdings.add(signed(claim("garden", domain="a-first-domain")))

    assert listed(listing.frames()) == [(DOMAINS_PAGE_MAX, True), (1, False)]


def test_a_page_says_what_each_domain_holds_now() -> None:
    holdings = filled(1)
    listing = Listing(holdings)
    listing.frames()

    holdings.add(signed(claim("garden", at=2, domain="domain-00000")))
    page = decode(listing.frames()[0])

    index = holdings.get("domain-00000") or Index()
    assert page == Domains({"domain-00000": summary_of(index)})
    assert len(index) == 2

"""The list of domains is made again page by page, and only where something has changed."""

from protocol.link.listing import Listing, ListSender, summary_of
from protocol.link.messages import DOMAINS_PAGE_MAX, Domains, decode
from protocol.link.orders import Order, Outbox, Send
from protocol.sets.index import Index
from tests.history import claim, signed
from tests.protocol.link.wire import Holdings


def filled(domains: int) -> Holdings:
    holdings = Holdings()
    for number in range(domains):
        holdings.add(signed(claim("garden", domain=f"domain-{number:05}")))
    return holdings


def frames_of(listing: Listing) -> list[str]:
    return [frame for frame, _ in listing.frames()]


def listed(frames: list[str]) -> list[tuple[int, bool]]:
    """The number of domains of each page, and whether another page follows."""
    pages = [decode(frame) for frame in frames]
    return [(len(page.domains), page.more) for page in pages if isinstance(page, Domains)]


def test_a_node_that_holds_nothing_sends_one_page_without_domains() -> None:
    assert listed(frames_of(Listing(Holdings()))) == [(0, False)]


def test_a_list_has_as_many_pages_as_it_needs() -> None:
    frames = frames_of(Listing(filled(DOMAINS_PAGE_MAX + 1)))

    assert listed(frames) == [(DOMAINS_PAGE_MAX, True), (1, False)]


def test_a_page_on_which_nothing_has_changed_is_the_same_text() -> None:
    holdings = filled(2 * DOMAINS_PAGE_MAX)
    listing = Listing(holdings)
    first, second = frames_of(listing)

    holdings.add(signed(claim("garden", at=2, domain="domain-00000")))
    first_again, second_again = frames_of(listing)

    assert second_again is second
    assert first_again != first


def test_a_new_domain_moves_the_domains_after_it() -> None:
    holdings = filled(DOMAINS_PAGE_MAX)
    listing = Listing(holdings)
    frames_of(listing)

    holdings.add(signed(claim("garden", domain="a-first-domain")))

    assert listed(frames_of(listing)) == [(DOMAINS_PAGE_MAX, True), (1, False)]


def test_a_page_says_what_each_domain_holds_now() -> None:
    holdings = filled(1)
    listing = Listing(holdings)
    frames_of(listing)

    holdings.add(signed(claim("garden", at=2, domain="domain-00000")))
    page = decode(frames_of(listing)[0])

    index = holdings.get("domain-00000") or Index()
    assert page == Domains({"domain-00000": summary_of(index)})
    assert len(index) == 2


def pages_in(orders: list[Order]) -> list[tuple[int, bool]]:
    return listed([order.text for order in orders if isinstance(order, Send)])


def test_a_list_is_sent_page_by_page_and_the_first_page_at_once() -> None:
    outbox = Outbox()
    sender = ListSender(Listing(filled(2 * DOMAINS_PAGE_MAX + 1)), outbox)

    sender.begin(now=5.0)
    pages = [pages_in(outbox.drain())]
    times = [sender.next_at]
    while sender.next_at is not None:
        sender.send_page()
        pages.append(pages_in(outbox.drain()))
        times.append(sender.next_at)

    assert pages == [[(DOMAINS_PAGE_MAX, True)], [(DOMAINS_PAGE_MAX, True)], [(1, False)]]
    assert times == [5.0, 5.0, None]


def test_a_list_that_is_asked_for_while_one_is_sent_follows_it_whole() -> None:
    """The peer would take pages of two lists for one list, and miss domains."""
    outbox = Outbox()
    sender = ListSender(Listing(filled(DOMAINS_PAGE_MAX + 1)), outbox)

    sender.begin(now=5.0)
    sender.begin(now=6.0)
    sender.begin(now=7.0)
    while sender.next_at is not None:
        sender.send_page()

    assert pages_in(outbox.drain()) == 2 * [(DOMAINS_PAGE_MAX, True), (1, False)]

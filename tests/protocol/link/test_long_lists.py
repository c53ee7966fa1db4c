"""A long list of domains leaves page by page, and other work of the link comes in between."""

from protocol.link.messages import DOMAINS_PAGE_MAX, Domains, decode, encode
from protocol.link.orders import Order, Send
from protocol.link.status import LinkState
from tests.history import claim, signed
from tests.protocol.link.test_link import RECORD, SIDES
from tests.protocol.link.wire import Wire


def many_domains() -> Wire:
    """An open link between two nodes that hold the same record of each of many domains: a list has three pages."""
    held = [signed(claim("garden", domain=f"domain-{number:05}")) for number in range(2 * DOMAINS_PAGE_MAX + 1)]
    wire = Wire(held, held)
    wire.run()
    return wire


def sizes_of(orders: list[Order]) -> list[int]:
    """How many domains each of these pages of a list has."""
    messages = [decode(order.text) for order in orders if isinstance(order, Send)]
    return [len(message.domains) for message in messages if isinstance(message, Domains)]


def test_the_answer_to_a_list_leaves_in_pieces_and_other_calls_may_come_in_between() -> None:
    """A peer asks for it with one short frame."""
    wire = many_domains()
    link = wire.acceptor.link

    link.on_frame(encode(Domains({})), wire.now)
    pieces = []
    while link.is_working:
        assert [type(order) for order in link.push([RECORD], 1, wire.now)] in ([], [Send])
        pieces.append(sizes_of(link.work(wire.now)))

    assert [piece for piece in pieces if piece] == [[DOMAINS_PAGE_MAX], [DOMAINS_PAGE_MAX], [1]]


@SIDES
def test_a_list_that_the_node_asks_for_leaves_in_pieces_at_the_next_times(side: int) -> None:
    wire = many_domains()
    wire.run_for(60.0)
    link = wire.ends[side].link

    pieces = [sizes_of(link.compare(wire.now))]
    while link.next_at == wire.now:
        pieces.append(sizes_of(link.on_time(wire.now)))

    assert pieces == [[DOMAINS_PAGE_MAX], [DOMAINS_PAGE_MAX], [1]]


def test_two_nodes_with_many_domains_find_out_that_they_hold_the_same() -> None:
    wire = many_domains()
    wire.run_for(60.0)

    wire.compare(wire.dialler)
    wire.compare(wire.acceptor)
    wire.run_for(60.0)

    assert [end.link.state for end in wire.ends] == [LinkState.LIVE, LinkState.LIVE]
    assert [end.link.is_in_step for end in wire.ends] == [True, True]
    assert wire.codes == (None, None)

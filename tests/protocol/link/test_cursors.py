"""How far one flow has come in a domain, and what moves its cursor."""

from protocol.errors import Code
from protocol.link.cursors import Cursors
from protocol.link.orders import Outbox, PutCursor
from protocol.link.terms import Flow


def cursors(stored: dict[tuple[str, Flow], int] | None = None, *, is_stored: bool = True) -> tuple[Cursors, Outbox]:
    outbox = Outbox()
    return Cursors(Flow.PUSH, stored or {}, outbox, is_stored=is_stored), outbox


def test_a_cursor_begins_where_its_own_flow_was_stored() -> None:
    flow, _ = cursors({("a", Flow.PUSH): 7, ("a", Flow.PULL): 9, ("b", Flow.PULL): 3})

    assert (flow.get("a"), flow.get("b")) == (7, None)


def test_a_cursor_is_stored_only_after_it_has_moved() -> None:
    flow, outbox = cursors({("a", Flow.PUSH): 7})

    flow.step("a", 7, None)
    flow.store("a")
    flow.step("a", 8, None)
    flow.store("a")
    flow.store("a")

    assert outbox.drain() == [PutCursor("a", Flow.PUSH, 8)]


def test_a_domain_without_a_pass_has_no_cursor_to_move() -> None:
    """Otherwise one live record would claim that all earlier records went through."""
    flow, outbox = cursors()

    flow.step("a", 100, None)
    flow.store("a")

    assert (flow.get("a"), outbox.drain()) == (None, [])


def test_a_record_that_was_refused_for_now_holds_its_cursor_until_both_sides_are_equal() -> None:
    flow, outbox = cursors()
    flow.begin("a", 0)
    for timestamp, refusal in ((5, None), (6, Code.OVERLOADED), (7, None)):
        flow.step("a", timestamp, refusal)
    flow.store("a")

    flow.settle("a", 7)

    assert outbox.drain() == [PutCursor("a", Flow.PUSH, 5), PutCursor("a", Flow.PUSH, 7)]


def test_a_cursor_never_goes_back() -> None:
    flow, outbox = cursors({("a", Flow.PUSH): 50})

    flow.settle("a", 20)

    assert (flow.get("a"), outbox.drain()) == (50, [])


def test_no_cursor_is_stored_for_a_flow_that_this_nodes_row_does_not_ask_for() -> None:
    flow, outbox = cursors(is_stored=False)
    flow.begin("a", 0)

    flow.step("a", 5, None)
    flow.store("a")
    flow.settle("a", 9)

    assert outbox.drain() == []

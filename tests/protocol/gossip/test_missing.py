"""Ids that were announced and have not come: when each is asked for, and how many a node remembers."""

from random import Random

from protocol.gossip.missing import MISSING_LINK_MAX, MISSING_MAX, SPREAD, MissingTable


def record(number: int) -> str:
    return f"{number:064x}"


def due(table: MissingTable, now: float) -> list[str]:
    """Take all that is due, and miss it no more."""
    found = []
    for record_id, _ in table.due(now):
        table.close(record_id)
        found.append(record_id)
    return found


def test_an_id_is_due_after_its_wait_and_up_to_half_of_it_more() -> None:
    table = MissingTable(Random(1))

    for number in range(100):
        table.open(record(number), 0, 1, now=10.0, wait_s=2.0)

    assert due(table, 12.0) == []
    assert sorted(due(table, 12.0 + 2.0 * SPREAD)) == [record(number) for number in range(100)]


def test_ids_are_due_in_the_order_of_their_times() -> None:
    table = MissingTable(Random(1))
    for number, wait_s in enumerate((9.0, 1.0, 5.0)):
        table.open(record(number), 0, 1, now=0.0, wait_s=wait_s)

    assert due(table, 100.0) == [record(1), record(2), record(0)]


def test_what_came_is_due_no_more() -> None:
    table = MissingTable(Random(1))
    table.open(record(0), 7, 3, now=0.0, wait_s=1.0)

    entry = table.close(record(0))

    assert entry is not None
    assert (entry.announcers, table.close(record(0)), table.next_at, len(table)) == ({7: 3}, None, None, 0)


def test_what_is_asked_for_is_due_again_when_no_answer_came() -> None:
    table = MissingTable(Random(1))
    table.open(record(0), 7, 3, now=0.0, wait_s=1.0)
    (record_id,) = [record_id for record_id, _ in _ask_all(table, now=2.0, until=5.0)]

    assert (record_id, table.next_at) == (record(0), 5.0)


def _ask_all(table: MissingTable, now: float, until: float) -> list[tuple[str, int]]:
    asked = []
    for record_id, entry in table.due(now):
        link = next(iter(entry.announcers))
        table.ask(record_id, link, until)
        asked.append((record_id, link))
    return asked


def test_whoever_was_asked_stands_behind_the_other_announcers() -> None:
    table = MissingTable(Random(1))
    table.open(record(0), 7, 3, now=0.0, wait_s=1.0)
    entry = table.get(record(0))
    assert entry is not None
    entry.announcers[8] = 1

    asked = [_ask_all(table, now, now + 1) for now in (2.0, 3.0, 4.0)]

    assert asked == [[(record(0), 7)], [(record(0), 8)], [(record(0), 7)]]


def test_what_a_lost_link_was_asked_for_is_due_at_once() -> None:
    table = MissingTable(Random(1))
    for number in range(2):
        table.open(record(number), 7, 3, now=0.0, wait_s=1.0)
    _ask_all(table, now=2.0, until=9.0)
    table.open(record(2), 7, 3, now=2.0, wait_s=100.0)

    table.forget_link(7, now=3.0)

    assert sorted(due(table, 3.0)) == [record(0), record(1)]
    assert len(table) == 1


def test_a_time_that_was_moved_does_not_come_twice() -> None:
    table = MissingTable(Random(1))
    table.open(record(0), 7, 3, now=0.0, wait_s=1.0)
    entry = table.get(record(0))
    assert entry is not None
    entry.announcers[8] = 1
    _ask_all(table, now=2.0, until=9.0)

    table.forget_link(7, now=3.0)
    asked = _ask_all(table, now=3.0, until=20.0)

    assert (asked, table.next_at) == ([(record(0), 8)], 20.0)


def test_no_more_ids_are_missed_than_the_limit() -> None:
    table = MissingTable(Random(1))
    per_link = MISSING_LINK_MAX - 1

    for number in range(MISSING_MAX + 1):
        table.open(record(number), number // per_link, 1, now=0.0, wait_s=1.0)

    assert len(table) == MISSING_MAX
    assert table.get(record(MISSING_MAX)) is None


def test_a_link_at_its_limit_may_open_another_when_one_came() -> None:
    table = MissingTable(Random(1))
    for number in range(MISSING_LINK_MAX):
        table.open(record(number), 0, 1, now=0.0, wait_s=1.0)

    table.open(record(MISSING_LINK_MAX), 0, 1, now=0.0, wait_s=1.0)
    refused = table.get(record(MISSING_LINK_MAX))
    table.close(record(0))
    table.open(record(MISSING_LINK_MAX), 0, 1, now=0.0, wait_s=1.0)

    assert (refused, len(table)) == (None, MISSING_LINK_MAX)


def test_timers_of_what_came_do_not_pile_up() -> None:
    table = MissingTable(Random(1))
    table.open(record(0), 0, 1, now=0.0, wait_s=1.0)

    for number in range(1, 10_000):
        table.open(record(number), 0, 1, now=0.0, wait_s=1_000.0)
        table.close(record(number))

    assert table.timers < 100
    assert due(table, 2_000.0) == [record(0)]

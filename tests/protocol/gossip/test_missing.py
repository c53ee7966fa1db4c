"""The table of missing records: when each is due, and how many a node remembers."""

from random import Random

from protocol.gossip.missing import MISSING_LINK_MAX, MISSING_MAX, SPREAD, Announcer, MissingTable

LINK, OTHER_LINK = 7, 8

COUNT = 100
"""Enough ids for every random wait."""


def record(number: int) -> str:
    return f"{number:064x}"


def due(table: MissingTable, now: float) -> list[str]:
    """Close all ids that are due, and return them in order."""
    found = []
    for record_id, _ in table.due(now):
        table.close(record_id)
        found.append(record_id)
    return found


def test_an_id_is_due_after_its_wait_and_at_most_half_as_long_again() -> None:
    table, now, wait_s = MissingTable(Random(1)), 10.0, 2.0

    for number in range(COUNT):
        table.open(record(number), Announcer(LINK, hops=1, is_listed=True), now=now, wait_s=wait_s)

    assert due(table, now + wait_s) == []
    assert sorted(due(table, now + wait_s + wait_s * SPREAD)) == [record(number) for number in range(COUNT)]


def test_ids_are_due_in_the_order_of_their_times() -> None:
    table = MissingTable(Random(1))
    for number, wait_s in enumerate((9.0, 1.0, 5.0)):
        table.open(record(number), Announcer(LINK, hops=1, is_listed=True), now=0.0, wait_s=wait_s)

    assert due(table, 100.0) == [record(1), record(2), record(0)]


def test_an_id_whose_record_arrived_is_no_longer_due() -> None:
    table = MissingTable(Random(1))
    table.open(record(0), Announcer(LINK, hops=3, is_listed=True), now=0.0, wait_s=1.0)

    entry = table.close(record(0))

    assert entry is not None
    assert (entry.announcers, table.close(record(0)), table.next_at, len(table)) == ({LINK: 3}, None, None, 0)


def test_an_id_is_due_again_if_the_link_that_was_asked_does_not_answer() -> None:
    table = MissingTable(Random(1))
    table.open(record(0), Announcer(LINK, hops=3, is_listed=True), now=0.0, wait_s=1.0)
    answer_at = 5.0

    asked = _ask_all(table, now=2.0, until=answer_at)

    assert (asked, table.next_at) == ([(record(0), LINK)], answer_at)


def _ask_all(table: MissingTable, now: float, until: float) -> list[tuple[str, int]]:
    """Ask the first announcer of each id that is due. Returns each id with the link. `until`: when an answer is due."""
    asked = []
    for record_id, entry in table.due(now):
        link = next(iter(entry.announcers))
        table.ask(record_id, link, until)
        asked.append((record_id, link))
    return asked


def test_the_link_asked_last_comes_after_the_other_announcers() -> None:
    table = MissingTable(Random(1))
    table.open(record(0), Announcer(LINK, hops=3, is_listed=True), now=0.0, wait_s=1.0)
    entry = table.get(record(0))
    assert entry is not None
    entry.announcers[OTHER_LINK] = 1

    asked = [_ask_all(table, now, now + 1) for now in (2.0, 3.0, 4.0)]

    assert asked == [[(record(0), LINK)], [(record(0), OTHER_LINK)], [(record(0), LINK)]]


def test_an_id_that_a_lost_link_was_asked_for_is_due_at_once() -> None:
    table = MissingTable(Random(1))
    for number in range(2):
        table.open(record(number), Announcer(LINK, hops=3, is_listed=True), now=0.0, wait_s=1.0)
    _ask_all(table, now=2.0, until=9.0)
    table.open(record(2), Announcer(LINK, hops=3, is_listed=True), now=2.0, wait_s=100.0)

    table.forget_link(LINK, now=3.0)

    assert sorted(due(table, 3.0)) == [record(0), record(1)]
    assert len(table) == 1


def test_an_id_whose_time_was_moved_is_due_only_once() -> None:
    table = MissingTable(Random(1))
    table.open(record(0), Announcer(LINK, hops=3, is_listed=True), now=0.0, wait_s=1.0)
    entry = table.get(record(0))
    assert entry is not None
    entry.announcers[OTHER_LINK] = 1
    _ask_all(table, now=2.0, until=9.0)

    table.forget_link(LINK, now=3.0)
    asked = _ask_all(table, now=3.0, until=20.0)

    assert (asked, table.next_at) == ([(record(0), OTHER_LINK)], 20.0)


def test_the_table_holds_at_most_the_limit_of_ids() -> None:
    table = MissingTable(Random(1))
    per_link = MISSING_LINK_MAX - 1

    for number in range(MISSING_MAX + 1):
        table.open(record(number), Announcer(number // per_link, hops=1, is_listed=True), now=0.0, wait_s=1.0)

    assert len(table) == MISSING_MAX
    assert table.get(record(MISSING_MAX)) is None


def test_a_link_at_its_limit_may_announce_another_id_once_one_record_arrived() -> None:
    table = MissingTable(Random(1))
    for number in range(MISSING_LINK_MAX):
        table.open(record(number), Announcer(LINK, hops=1, is_listed=True), now=0.0, wait_s=1.0)

    table.open(record(MISSING_LINK_MAX), Announcer(LINK, hops=1, is_listed=True), now=0.0, wait_s=1.0)
    refused = table.get(record(MISSING_LINK_MAX))
    table.close(record(0))
    table.open(record(MISSING_LINK_MAX), Announcer(LINK, hops=1, is_listed=True), now=0.0, wait_s=1.0)

    assert (refused, len(table)) == (None, MISSING_LINK_MAX)


def test_timers_of_arrived_records_do_not_pile_up() -> None:
    table = MissingTable(Random(1))
    arrived, timers_max = 10_000, 100
    table.open(record(0), Announcer(LINK, hops=1, is_listed=True), now=0.0, wait_s=1.0)

    for number in range(1, arrived):
        table.open(record(number), Announcer(LINK, hops=1, is_listed=True), now=0.0, wait_s=1_000.0)
        table.close(record(number))

    assert table.timers < timers_max
    assert due(table, 2_000.0) == [record(0)]

"""A memory notices a node that goes back in time, and never accuses one that only learned more."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given

from node.client.claim import FINAL, Claim
from node.client.errors import Untrusted
from node.client.history import History
from node.client.memory import Memory
from protocol.records.record import Record
from protocol.records.replay import replay
from tests.history import ALICE, BOB, DOMAIN, batches, claim, signed

FIRST = claim("garden", ALICE, at=1)
SECOND = claim("garden", ALICE, at=2, prev=FIRST)
THIRD = claim("garden", ALICE, at=3, prev=SECOND)


def shown(record: Record, certainty: str | None = None) -> Claim:
    return Claim(signed(record), certainty)


def history_of(records: Iterable[Record]) -> History:
    replayed = replay(records)
    state = replayed.state
    tip = None if state.tip is None else state.tip.id
    claims = [Claim(signed(judged.record), verdict=judged.verdict) for judged in replayed.judged]
    return History(DOMAIN, "garden", state.owner, tip, state.contested, claims)


def look(memory: Memory, records: Sequence[Record]) -> Claim | None:
    """What an honest node with these records shows, as a client sees it."""
    history = history_of(records)
    head = next((each for each in history.claims if each.id == history.head), None)
    before = memory.head(DOMAIN, "garden")
    if before is not None and memory.is_surprised(before, head):
        memory.check(before, head, history)
    elif head is not None:
        memory.note(head)
    return head


@given(batches())
def test_a_node_that_only_learns_more_is_never_accused(arriving: list[list[Record]]) -> None:
    memory, held = Memory(), list[Record]()

    for batch in arriving:
        held += batch
        head = look(memory, held)

        remembered = memory.head(DOMAIN, "garden")
        assert (remembered and remembered.id) == (head and head.id)


def test_a_node_without_its_newest_record_is_noticed() -> None:
    memory = Memory()
    look(memory, [FIRST, SECOND])

    with pytest.raises(Untrusted) as noticed:
        look(memory, [FIRST])

    assert noticed.value.code == "head_lost"


def test_a_node_without_the_label_is_noticed() -> None:
    memory = Memory()
    look(memory, [FIRST])

    with pytest.raises(Untrusted, match="its history does not hold that record"):
        look(memory, [])


def test_an_older_founder_that_comes_late_explains_an_older_head() -> None:
    memory, older = Memory(), claim("garden", BOB, at=1, n=7)
    later = claim("garden", ALICE, at=2)
    look(memory, [later])

    head = look(memory, [later, older])

    assert head is not None
    assert head.id == older.id


def test_after_a_final_head_every_head_must_follow_it() -> None:
    memory, rival = Memory(), claim("garden", BOB, at=9, n=1)
    memory.note(shown(SECOND, FINAL))
    history = History(DOMAIN, "garden", BOB.public, rival.id, True, [shown(each) for each in (FIRST, SECOND, rival)])

    assert not memory.is_surprised(shown(SECOND, FINAL), shown(THIRD))
    assert memory.is_surprised(shown(SECOND, FINAL), shown(rival))
    with pytest.raises(Untrusted, match="does not follow that final record"):
        memory.check(shown(SECOND, FINAL), shown(rival), history)


def test_a_proven_chain_holds_what_was_final_before() -> None:
    memory = Memory()

    memory.check_chain(shown(SECOND, FINAL), [FIRST, SECOND, THIRD])
    with pytest.raises(Untrusted):
        memory.check_chain(shown(SECOND, FINAL), [FIRST])


def test_a_late_answer_does_not_replace_a_newer_head() -> None:
    memory = Memory()
    memory.note(shown(SECOND))

    memory.note(shown(FIRST))

    assert memory.head(DOMAIN, "garden") == shown(SECOND)


def test_a_memory_forgets_the_label_that_was_shown_least_recently() -> None:
    memory = Memory(labels_max=2)

    for label in ("a", "b", "a", "c"):
        memory.note(Claim(signed(claim(label))))

    assert len(memory) == 2
    assert memory.head(DOMAIN, "b") is None

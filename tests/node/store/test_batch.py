"""Batches that are merged to one transaction."""

from protocol.records.change import Event, EventType
from tests.node.store.store_batches import batch_of, claim, key_of


def test_a_label_that_is_new_in_a_merged_batch_is_held_by_a_later_batch_alone() -> None:
    garden, pond = claim("garden"), claim("pond")
    first, pond_of_before = batch_of([garden]), batch_of([pond])
    second = batch_of([claim("garden", at=2), claim("pond", at=2)], first.states | pond_of_before.states)

    first.add(second)

    assert second.held_labels == {key_of(garden.record), key_of(pond.record)}
    assert first.held_labels == {key_of(pond.record)}


def test_a_batch_is_plain_if_each_record_became_a_head_and_nothing_else_happened() -> None:
    plain, refused, reverting = (
        batch_of([claim(), claim("pond")]),
        batch_of([claim(), claim(at=2, prev="0" * 64)]),
        batch_of([claim()]),
    )
    reverting.events = [Event(EventType.REVERTED, reverting.records[0].signed.record, previous="0" * 64, reason="late")]

    assert [it.is_plain for it in (plain, refused, reverting)] == [True, False, False]

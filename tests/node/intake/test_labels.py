"""The states of labels, read ahead of decisions."""

import asyncio
from collections.abc import Sequence

import pytest

from node.intake.labels import Labels
from node.store.contract import LabelKey, Store
from protocol.records.replay import EMPTY, State
from tests.history import claim

KEY = ("example.org", "label")
OTHER_KEY = ("example.org", "other")

FOUNDED, _ = EMPTY.extend(claim("label"))
UPDATED, _ = FOUNDED.extend(claim("label", at=2))


class SlowStore:
    """A store of states that answers later, with the states that it held when it was asked."""

    def __init__(self) -> None:
        self.held: dict[LabelKey, State] = {}
        self.answers: list[asyncio.Event] = []

    async def states(self, labels: Sequence[LabelKey]) -> dict[LabelKey, State]:
        found = {key: self.held[key] for key in labels if key in self.held}
        self.answers.append(asyncio.Event())
        await self.answers[-1].wait()
        return found


async def begin_fetch(labels: Labels) -> asyncio.Task[None]:
    """Start a read ahead. When this returns the store was asked, and has not answered."""
    fetching = asyncio.create_task(labels.fetch([KEY]))
    await asyncio.sleep(0)
    return fetching


def decide(labels: Labels, state: State) -> None:
    labels.on_decided({KEY: state})


@pytest.fixture
def store() -> SlowStore:
    return SlowStore()


@pytest.fixture
def labels(store: SlowStore) -> Labels:
    return Labels(as_store(store), cached_max=0, few=0)


def as_store(store: SlowStore) -> Store:
    return store  # type: ignore[return-value]  # labels ask a store for states only


async def test_a_label_that_was_read_ahead_needs_no_second_read(labels: Labels, store: SlowStore) -> None:
    store.held[KEY] = FOUNDED
    fetching = await begin_fetch(labels)
    store.answers[0].set()
    await fetching

    await labels.load([KEY])

    assert labels.state(KEY) == FOUNDED
    assert labels.missing([KEY]) == []
    assert len(store.answers) == 1


async def test_a_label_that_is_being_read_is_not_read_twice(labels: Labels, store: SlowStore) -> None:
    fetching = await begin_fetch(labels)

    assert labels.missing([KEY, OTHER_KEY]) == [OTHER_KEY]

    store.answers[0].set()
    await fetching


async def test_a_few_labels_are_not_read_ahead(store: SlowStore) -> None:
    labels = Labels(as_store(store), cached_max=0, few=1)

    assert labels.missing([KEY, KEY]) == []
    assert labels.missing([KEY, OTHER_KEY]) == [KEY, OTHER_KEY]


async def test_a_decision_wins_against_a_read_that_began_before_it(labels: Labels, store: SlowStore) -> None:
    store.held[KEY] = FOUNDED
    fetching = await begin_fetch(labels)
    decide(labels, UPDATED)

    store.answers[0].set()
    await fetching

    assert labels.state(KEY) == UPDATED


async def test_an_old_read_is_dropped_even_if_the_decided_state_was_dropped_since(
    labels: Labels, store: SlowStore
) -> None:
    store.held[KEY] = FOUNDED
    old = await begin_fetch(labels)
    states = {KEY: UPDATED}
    labels.on_decided(states)
    labels.on_committed(states)
    store.held[KEY] = UPDATED
    labels.shrink()
    new = await begin_fetch(labels)

    store.answers[1].set()
    await new
    store.answers[0].set()
    await old

    assert labels.state(KEY) == UPDATED


async def test_a_label_that_two_groups_decided_stays_until_both_are_on_disk(labels: Labels, store: SlowStore) -> None:
    """Otherwise the next decision would begin with the state on disk, which is behind."""
    first, second = {KEY: FOUNDED}, {KEY: UPDATED}
    labels.on_decided(first)
    labels.on_decided(second)
    after_shrinking = []
    for states in (first, second):
        labels.shrink()
        after_shrinking.append(labels.missing([KEY]))
        labels.on_committed(states)
    labels.shrink()
    after_shrinking.append(labels.missing([KEY]))

    assert after_shrinking == [[], [], [KEY]]


async def test_a_read_that_begins_after_a_decision_leaves_the_decided_state(labels: Labels, store: SlowStore) -> None:
    """Otherwise a record that is not committed yet would be new a second time, and its second commit would fail."""
    fetching = asyncio.create_task(labels.fetch([KEY, OTHER_KEY]))
    decide(labels, FOUNDED)
    await asyncio.sleep(0)

    store.answers[0].set()
    await fetching

    assert labels.state(KEY) == FOUNDED
    assert labels.state(OTHER_KEY) == EMPTY

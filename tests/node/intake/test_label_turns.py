"""Turns at labels: first come, first served, and nobody in a circle."""

from hypothesis import given
from hypothesis import strategies as st

from node.intake.label_turns import LabelTurn, LabelTurns

A, B, C = (("example", name) for name in "abc")


async def test_a_turn_is_ready_when_those_before_it_at_its_labels_have_left() -> None:
    turns = LabelTurns()
    one, both, other, free = turns.enter([A]), turns.enter([A, B]), turns.enter([B]), turns.enter([C])
    ready = [[each.ready.done() for each in (one, both, other, free)]]

    for turn in (one, both):
        turns.leave(turn)
        ready.append([each.ready.done() for each in (one, both, other, free)])

    assert ready == [[True, False, False, True], [True, True, False, True], [True, True, True, True]]


async def test_who_gives_up_while_waiting_holds_up_nobody() -> None:
    turns = LabelTurns()
    first, gone, last = turns.enter([A]), turns.enter([A, B]), turns.enter([A, B])

    turns.leave(gone)
    turns.leave(first)

    assert (last.ready.done(), gone.ready.done()) == (True, False)


async def test_nothing_is_left_of_labels_at_which_nobody_waits() -> None:
    turns = LabelTurns()
    for turn in [turns.enter([A, B, A]), turns.enter([B])]:
        turns.leave(turn)

    assert len(turns) == 0


@given(st.lists(st.frozensets(st.sampled_from((A, B, C)), min_size=1), max_size=8), st.randoms(use_true_random=False))
async def test_everybody_gets_a_turn_and_no_two_hold_one_label(keys: list[frozenset[tuple[str, str]]], random) -> None:  # type: ignore[no-untyped-def]
    turns = LabelTurns()
    waiting: list[LabelTurn] = [turns.enter(each) for each in keys]

    while waiting:
        ready = [turn for turn in waiting if turn.ready.done()]
        held = [key for turn in ready for key in turn.keys]

        assert ready
        assert len(held) == len(set(held))
        gone = random.choice(ready)
        waiting.remove(gone)
        turns.leave(gone)

    assert len(turns) == 0

"""The oracle and the node's replay, two implementations of one rule, agree on every history."""

from hypothesis import given

from protocol.records.record import Record
from protocol.records.replay import replay
from simulations.judges.oracle import ownership
from tests.history import histories


@given(histories())
def test_the_oracle_agrees_with_replay_on_every_history(history: list[Record]) -> None:
    judged = replay(history)

    told = ownership(history)

    assert told.chain == [record.id for record in judged.chain]
    assert told.owner == judged.state.owner
    assert told.named == judged.state.named

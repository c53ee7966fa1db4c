"""One label while records of several origins are decided."""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from node.intake.arrivals import Origin
from node.intake.ledger import Ledger, admit_newest
from node.intake.welcome import Welcome
from protocol.errors import Code, ProtocolError
from protocol.records.admission import NEEDS_NO_HEAD, Trust, Window
from protocol.records.record import Record
from protocol.records.replay import EMPTY, State, Verdict, replay
from protocol.records.write_policy import OPEN
from protocol.steps import finish
from tests.history import ALICE, BOB, claim, histories

NOW: Final = 1_000_000
EVERYBODY: Final = Welcome(OPEN)
CLIENT: Final = Origin(Trust.CLIENT)
PEER: Final = Origin(Trust.PEER)
DEMANDING: Final = Origin(Trust.PEER, precondition=NEEDS_NO_HEAD)


class NoQuotas:
    """Every key and every domain may have any number of records."""

    def check(self, record: Record) -> None:
        pass

    def count(self, record: Record) -> None:
        pass


def admit(*entries: tuple[Record, Origin]) -> tuple[Ledger, dict[str, Code]]:
    """Admit these records to an empty label. Returns the ledger, and the codes of refused records by id."""
    ledger = Ledger(EMPTY, Window(), EVERYBODY, NOW, NoQuotas())
    refusals = finish(ledger.admit([record for record, _ in entries], [origin for _, origin in entries]))
    return ledger, {record_id: error.code for record_id, error in refusals.items()}


def test_a_clients_record_is_judged_after_the_older_records_of_peers_in_its_group() -> None:
    founded, follows, strange = (
        claim("garden", ALICE, NOW - 2),
        claim("garden", ALICE, NOW - 1),
        claim("garden", BOB, NOW),
    )

    ledger, refusals = admit((founded, PEER), (follows, CLIENT), (strange, CLIENT))

    assert ledger.verdicts == {founded.id: Verdict.FOUNDED, follows.id: Verdict.UPDATED}
    assert refusals == {strange.id: Code.NOT_OWNER}


def test_in_one_group_a_rival_from_a_peer_is_stored_and_one_from_a_client_is_refused() -> None:
    founded, rival, refused = (
        claim("garden", ALICE, NOW - 2),
        claim("garden", BOB, NOW - 1),
        claim("garden", BOB, NOW),
    )

    ledger, refusals = admit((founded, CLIENT), (rival, PEER), (refused, CLIENT))

    assert ledger.verdicts == {founded.id: Verdict.FOUNDED, rival.id: Verdict.RIVAL}
    assert refusals == {refused.id: Code.NOT_OWNER}


def test_a_condition_is_checked_after_the_older_records_of_its_group() -> None:
    founded, demands = claim("garden", ALICE, NOW - 1), claim("garden", ALICE, NOW)

    ledger, refusals = admit((founded, PEER), (demands, DEMANDING))

    assert ledger.state.tip is not None
    assert ledger.state.tip.id == founded.id
    assert refusals == {demands.id: Code.PRECONDITION_FAILED}


@given(history=histories(), trust=st.sampled_from(Trust))
def test_the_newest_record_of_a_label_needs_no_ledger(history: list[Record], trust: Trust) -> None:
    """Law: both ways give the same state, verdict and refusal."""
    if not history:
        return
    *before, newest = sorted(history, key=lambda record: record.order_key)
    state, origin, window = replay(before).state, Origin(trust), Window(None, None)
    ledger = Ledger(state, window, EVERYBODY, NOW, NoQuotas())

    refusals = finish(ledger.admit([newest], [origin]))
    outcome = ledger.state, ledger.verdicts, [error.code for error in refusals.values()]

    assert alone(newest, origin, state, window) == outcome


def alone(record: Record, origin: Origin, state: State, window: Window) -> tuple[State, dict[str, Verdict], list[Code]]:
    """The result of `admit_newest` for this record, in the form of a ledger's."""
    try:
        after, verdict = admit_newest(record, origin, state, window, EVERYBODY, NOW)
    except ProtocolError as error:
        return state, {}, [error.code]
    return after, {record.id: verdict}, []

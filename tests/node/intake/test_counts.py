"""What intake counts of the records that it took or refused."""

from node.intake.counts import IntakeCounts
from protocol.errors import Code
from protocol.records.admission import Trust
from protocol.records.outcome import Outcome, Status
from protocol.records.replay import Verdict


def test_records_are_counted_by_their_outcome() -> None:
    counts = IntakeCounts()

    counts.count(
        Trust.PEER,
        [
            Outcome("s", Status.ACCEPTED, verdict=Verdict.RIVAL),
            Outcome("s", Status.ACCEPTED, verdict=Verdict.RIVAL),
            Outcome("s", Status.KNOWN, verdict=Verdict.FOUNDED),
            Outcome("s", Status.REFUSED, code=Code.STALE),
        ],
    )

    assert counts.accepted == {(Trust.PEER, Verdict.RIVAL): 2}
    assert counts.known == {Trust.PEER: 1}
    assert counts.refused == {(Trust.PEER, Code.STALE): 1}

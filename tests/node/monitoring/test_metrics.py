"""What the parts of a node count."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from node.http_sync.report import Report
from node.intake.arrivals import Outcome, Status
from node.monitoring.metrics import SECONDS, Exchange, Histogram, Intake
from protocol.errors import Code
from protocol.records.admission import Trust
from protocol.records.replay import Verdict


def test_a_value_counts_for_its_bound_and_for_all_above() -> None:
    histogram = Histogram((1, 2, 4))

    for value in (0.5, 1, 2, 3, 9):
        histogram.observe(value)

    assert list(histogram.buckets()) == [(1, 2), (2, 3), (4, 4), (inf, 5)]
    assert histogram.total == 15.5


@given(st.lists(st.floats(0, 100)))
def test_a_bucket_holds_whatever_is_at_most_its_bound(values: list[float]) -> None:
    histogram = Histogram(SECONDS)

    for value in values:
        histogram.observe(value)

    assert list(histogram.buckets()) == [(bound, sum(value <= bound for value in values)) for bound in (*SECONDS, inf)]


def test_records_are_counted_by_what_became_of_them() -> None:
    intake = Intake()

    intake.count(
        Trust.PEER,
        [
            Outcome("s", Status.ACCEPTED, "i", Verdict.RIVAL),
            Outcome("s", Status.ACCEPTED, "i", Verdict.RIVAL),
            Outcome("s", Status.KNOWN, "i", Verdict.FOUNDED),
            Outcome("s", Status.REFUSED, "i", None, Code.STALE),
        ],
    )

    assert intake.accepted == {(Trust.PEER, Verdict.RIVAL): 2}
    assert intake.known == {Trust.PEER: 1}
    assert intake.refused == {(Trust.PEER, Code.STALE): 1}


def test_a_run_that_fails_keeps_when_the_last_good_one_ended() -> None:
    exchange = Exchange()

    exchange.count(Report(accepted=3, known=1, repaired=2, seconds=0.5), 100.0)
    exchange.count(Report(accepted=1, refused=1, seconds=0.25, error="gone"), 200.0)

    assert exchange.runs == {"ok": 1, "failed": 1}
    assert exchange.records == {"accepted": 4, "known": 1, "refused": 1}
    assert (exchange.repaired, exchange.seconds) == (2, 0.75)
    assert (exchange.succeeded_s, exchange.error) == (100.0, "gone")

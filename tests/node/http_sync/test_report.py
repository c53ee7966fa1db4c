"""What is counted of sync runs."""

from node.http_sync.report import Report, RunTotals

SUCCEEDED_S, FAILED_S = 100.0, 200.0


def test_a_run_that_fails_leaves_the_time_of_the_last_success() -> None:
    totals = RunTotals()

    totals.count(Report(accepted=3, known=1, repaired=2, seconds=0.5), SUCCEEDED_S)
    totals.count(Report(accepted=1, refused=1, seconds=0.25, error="gone", refusals={"stale": 1}), FAILED_S)

    assert totals.runs == {"ok": 1, "failed": 1}
    assert totals.records == {"accepted": 4, "known": 1, "refused": 1}
    assert totals.refusals == {"stale": 1}
    assert (totals.repaired, totals.seconds) == (2, 0.75)
    assert (totals.succeeded_s, totals.error) == (SUCCEEDED_S, "gone")

"""The lag of a peer: how long ago it was seen to hold the same records."""

from node.convergence import Convergence


def test_the_lag_grows_from_the_last_agreement() -> None:
    convergence = Convergence()

    convergence.compared("peer", 10.0, is_identical=True)
    convergence.compared("peer", 40.0, is_identical=False)

    assert convergence.lags_s(70.0) == {"peer": 60.0}


def test_without_an_agreement_the_lag_grows_from_the_first_comparison() -> None:
    convergence = Convergence()

    convergence.compared("peer", 10.0, is_identical=False)
    convergence.compared("peer", 40.0, is_identical=False)

    assert convergence.lags_s(70.0) == {"peer": 60.0}


def test_an_agreement_ends_the_lag() -> None:
    convergence = Convergence()

    convergence.compared("peer", 10.0, is_identical=False)
    convergence.compared("peer", 70.0, is_identical=True)

    assert convergence.lags_s(70.0) == {"peer": 0.0}


def test_a_removed_peer_has_no_lag() -> None:
    convergence = Convergence()
    convergence.compared("peer", 10.0, is_identical=True)

    convergence.forget("peer")

    assert convergence.lags_s(70.0) == {}

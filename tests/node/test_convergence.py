"""The lag of a peer: how long ago it was seen to be in step."""

from node.convergence import Convergence


def test_the_lag_grows_from_when_the_peer_was_last_in_step() -> None:
    convergence = Convergence()

    convergence.compared("peer", 10.0, is_in_step=True)
    convergence.compared("peer", 40.0, is_in_step=False)

    assert convergence.lags_s(70.0) == {"peer": 60.0}


def test_if_the_peer_was_never_in_step_the_lag_grows_from_the_first_comparison() -> None:
    convergence = Convergence()

    convergence.compared("peer", 10.0, is_in_step=False)
    convergence.compared("peer", 40.0, is_in_step=False)

    assert convergence.lags_s(70.0) == {"peer": 60.0}


def test_a_peer_that_is_in_step_has_no_lag() -> None:
    convergence = Convergence()

    convergence.compared("peer", 10.0, is_in_step=False)
    convergence.compared("peer", 70.0, is_in_step=True)

    assert convergence.lags_s(70.0) == {"peer": 0.0}


def test_a_removed_peer_has_no_lag() -> None:
    convergence = Convergence()
    convergence.compared("peer", 10.0, is_in_step=True)

    convergence.forget("peer")

    assert convergence.lags_s(70.0) == {}

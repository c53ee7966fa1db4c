"""The state of a peer, and how long an outage lasts."""

import pytest

from node.peer_state import (
    FLAPS_MAX,
    LOG_AGAIN_S,
    STEADY_S,
    Condition,
    Facts,
    Outage,
    PeerFailure,
    PeerState,
    decide,
    remedy_of,
)
from node.store.contract import Peer
from protocol.errors import Code
from protocol.link.status import LinkState

LINKED = Peer(url="ws://peer.example:80", pull=True)
SYNCED = Peer(url="http://peer.example:80", push=True)
BEGAN_S = 1_000.0

AWAY = PeerFailure(Code.UNREACHABLE, "unreachable: nobody answers", BEGAN_S)
WRONG_KEY = PeerFailure(Code.UNAUTHORIZED, "unauthorized: another key", BEGAN_S)

STATES = {
    "no try has ended": (LINKED, Facts(is_tried=True), Condition.CONNECTING),
    "no sync has ended": (SYNCED, Facts(is_tried=True), Condition.CONNECTING),
    "an open link": (LINKED, Facts(link=LinkState.LIVE, is_tried=True), Condition.LIVE),
    "a link that catches up": (LINKED, Facts(link=LinkState.CATCHING_UP, is_tried=True), Condition.CATCHING_UP),
    "a link that is behind": (LINKED, Facts(link=LinkState.BEHIND, is_tried=True), Condition.BEHIND),
    "an open link after a failure": (LINKED, Facts(link=LinkState.LIVE, failure=AWAY, is_tried=True), Condition.LIVE),
    "a sync that succeeded": (SYNCED, Facts(is_synced=True, is_tried=True), Condition.SYNCING),
    "a sync on request": (SYNCED, Facts(is_synced=True), Condition.SYNCING),
    "no sync by itself": (SYNCED, Facts(), Condition.IDLE),
    "a row that asks for nothing": (Peer(url="ws://peer.example:80"), Facts(), Condition.IDLE),
    "a peer that only dials this node": (Peer(key="ab" * 32, accept=True), Facts(), Condition.AWAY),
}


@pytest.mark.parametrize(("peer", "facts", "state"), STATES.values(), ids=STATES.keys())
def test_a_peer_without_trouble_has_one_state(peer: Peer, facts: Facts, state: Condition) -> None:
    assert decide(peer, facts) == PeerState(state)


@pytest.mark.parametrize("peer", [LINKED, SYNCED])
@pytest.mark.parametrize(("failure", "state"), [(AWAY, Condition.FAILING), (WRONG_KEY, Condition.REFUSED)])
def test_a_failure_says_why_since_when_and_what_to_do(peer: Peer, failure: PeerFailure, state: Condition) -> None:
    decided = decide(peer, Facts(failure=failure, is_synced=True, is_tried=True))

    assert decided == PeerState(state, failure.reason, BEGAN_S, remedy_of(failure.code))
    assert decided.is_trouble
    assert decided.failing_s(BEGAN_S + 7) == 7


@pytest.mark.parametrize("code", [None, *Code])
def test_every_failure_has_a_remedy(code: Code | None) -> None:
    assert remedy_of(code) != ""


def test_an_outage_lasts_from_its_first_failure_until_a_success() -> None:
    outage = Outage()

    outage.fail(Code.UNREACHABLE, "away", 10.0)
    outage.fail(Code.TIMEOUT, "silent", 20.0)
    lasting = outage.failure
    outage.end()
    ended = outage.failure
    outage.fail(Code.UNREACHABLE, "away", 30.0)

    assert (lasting, ended) == (PeerFailure(Code.TIMEOUT, "silent", 10.0), None)
    assert outage.failure == PeerFailure(Code.UNREACHABLE, "away", 30.0)


def test_an_outage_is_logged_at_once_and_then_once_an_hour() -> None:
    outage = Outage()
    times = (0.0, 1.0, LOG_AGAIN_S - 1, LOG_AGAIN_S, LOG_AGAIN_S + 1, 2 * LOG_AGAIN_S)

    due = [outage.is_log_due(now_s) for now_s in times]
    outage.end()

    assert due == [True, False, False, True, False, True]
    assert outage.is_log_due(2 * LOG_AGAIN_S + 1)


def test_a_clock_that_is_set_back_does_not_silence_the_log() -> None:
    outage = Outage()

    assert [outage.is_log_due(now_s) for now_s in (9 * LOG_AGAIN_S, 0.0)] == [True, True]


def test_links_that_end_within_seconds_again_and_again_are_one_outage() -> None:
    outage = Outage()

    for now_s in range(FLAPS_MAX + 1):
        outage.on_link_open()
        outage.on_link_end(Code.OVERLOADED, "too much", float(now_s), open_s=1.0)
    outage.on_link_open()
    flapping, failure = outage.is_flapping, outage.failure
    outage.on_link_end(Code.STOPPING, "restarts", 100.0, open_s=STEADY_S)

    assert flapping
    assert failure == PeerFailure(Code.OVERLOADED, "too much", float(FLAPS_MAX - 1))
    assert (outage.is_flapping, outage.failure) == (False, PeerFailure(Code.STOPPING, "restarts", 100.0))


def test_a_link_that_lasted_a_while_ends_the_outage() -> None:
    outage = Outage()

    outage.on_link_end(Code.UNREACHABLE, "away", 10.0, open_s=0.0)
    outage.on_link_open()
    opened = outage.failure
    outage.on_link_end(Code.TIMEOUT, "silent", 50.0, open_s=STEADY_S)

    assert (opened, outage.failure) == (None, PeerFailure(Code.TIMEOUT, "silent", 50.0))

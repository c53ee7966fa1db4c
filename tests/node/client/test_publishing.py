"""Publishing: a record follows the head, and a record that is too new waits for the node's clock."""

import json
from typing import Any

import pytest

from node.client.conversation import Pause
from node.client.errors import NodeError, Unreachable
from node.client.http import NodeClient
from node.client.publishing import Outcome, put, put_in_time, sign_next
from protocol.records.record import SignedRecord
from protocol.signing import SigningKey
from tests.node.client.test_http import Reply, serving

ALICE = SigningKey(bytes(32))
PLACE = {"domain": "example.org", "label": "garden"}
NOW = 1_000
EARLY = sign_next(None, ALICE, PLACE, now=NOW)


def test_the_first_record_of_a_label_names_no_other() -> None:
    signed = sign_next(None, ALICE, {**PLACE, "n": 1}, now=1_000)

    assert (signed.record.timestamp, signed.record.prev) == (1_000, None)
    assert signed.is_genuine()


@pytest.mark.parametrize(("now", "timestamp"), [(999, 1_001), (1_000, 1_001), (1_001, 1_001), (2_000, 2_000)])
def test_the_next_record_names_the_head_and_is_newer_even_if_the_clock_is_behind(now: int, timestamp: int) -> None:
    head: SignedRecord = sign_next(None, ALICE, PLACE, now=1_000)

    signed = sign_next(head, ALICE, {**PLACE, "n": 2}, now=now)

    assert (signed.record.timestamp, signed.record.prev) == (timestamp, head.record.id)


def outcome_of(signed: SignedRecord, **outcome: Any) -> Reply:
    return 200, {}, json.dumps({signed.signature: outcome}).encode()


def limits(max_skew: int | None) -> Reply:
    node = {"version": "1", "node": "0" * 64, "started": 1, "time": NOW, "domains": {}}
    return 200, {}, json.dumps(node | {"limits": {"max_skew": max_skew}}).encode()


TOO_NEW = outcome_of(EARLY, status="refused", code="too_new", now=NOW)
ACCEPTED = outcome_of(EARLY, status="accepted")


def test_a_record_that_is_too_new_is_sent_again_when_its_time_has_come() -> None:
    pauses: list[Pause] = []
    log: list[str] = []

    with serving([TOO_NEW, limits(NOW), ACCEPTED], log) as url, NodeClient(url) as client:
        outcome = client.converse(put_in_time(EARLY, 5.0), pauses.append)

    request = f"PUT /claims/{EARLY.signature} None"
    assert outcome == Outcome(200, {"status": "accepted"})
    assert log == [request, "GET /node None", request]
    assert pauses == [Pause(0.05, "the record is too new for the node")]


def test_a_record_whose_time_is_too_far_is_refused_at_once() -> None:
    pauses: list[Pause] = []

    with serving([TOO_NEW, limits(-6)]) as url, NodeClient(url) as client:
        outcome = client.converse(put_in_time(EARLY, 5.0), pauses.append)

    assert (outcome.code, pauses) == ("too_new", [])


def test_all_waits_together_have_a_limit() -> None:
    """Otherwise a node whose clock stands still would be asked for ever."""
    pauses: list[Pause] = []
    script = [TOO_NEW, limits(NOW)] * 9

    with serving(script) as url, NodeClient(url) as client:
        outcome = client.converse(put_in_time(EARLY, 0.12), pauses.append)

    assert outcome.code == "too_new"
    assert len(pauses) == 2


@pytest.mark.parametrize("code", ["stale", "not_owner", "too_old"])
def test_another_refusal_is_returned_at_once(code: str) -> None:
    refused = outcome_of(EARLY, status="refused", code=code, now=NOW)

    with serving([refused]) as url, NodeClient(url) as client:
        assert client.converse(put_in_time(EARLY, 5.0)).code == code


def test_a_refusal_of_the_whole_request_is_an_error() -> None:
    body = json.dumps({"code": "overloaded", "detail": "full"}).encode()

    with serving([(503, {}, body)]) as url, NodeClient(url) as client, pytest.raises(NodeError) as refused:
        client.converse(put(EARLY))

    assert refused.value.code == "overloaded"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"a":1}'])
def test_an_answer_that_does_not_name_the_record_comes_from_no_node(body: bytes) -> None:
    with serving([(200, {}, body)]) as url, NodeClient(url) as client, pytest.raises(Unreachable):
        client.converse(put(EARLY))

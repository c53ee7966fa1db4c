"""The client of applications against servers that lie: it notices whatever can be checked."""

import json

import pytest

from node.client import Claim, Client, Unreachable, Untrusted
from protocol.records.record import Record, SignedRecord
from tests.history import ALICE, claim, signed
from tests.node.client.test_client import DOMAIN, PROPOSED, outcome_reply
from tests.node.client.test_http import Reply, serving


def head_reply(record: SignedRecord) -> Reply:
    return 200, {}, b'{"%s":%s}' % (record.signature.encode(), record.record.canonical)


def history_reply(*records: Record, verdict: str = "founded") -> Reply:
    entries = [
        {
            "id": each.id,
            "signature": signed(each).signature,
            "verdict": verdict if number == 0 else "updated",
            "received": 1,
            "record": json.loads(each.canonical),
        }
        for number, each in enumerate(records)
    ]
    facts = {"domain": DOMAIN, "label": "garden", "owner": ALICE.public, "head": records[-1].id, "contested": False}
    return 200, {}, json.dumps(facts | {"records": entries}).encode()


FIRST = claim("garden", ALICE, at=1)
SECOND = claim("garden", ALICE, at=2, prev=FIRST)
FORGED = SignedRecord(signed(FIRST).signature, SECOND)


@pytest.mark.parametrize(
    "reply",
    [head_reply(FORGED), head_reply(signed(claim("shed"))), head_reply(signed(claim("garden", domain="other")))],
    ids=["another signature", "another label", "another domain"],
)
async def test_a_head_that_nobody_signed_for_this_label_is_noticed(reply: Reply) -> None:
    with serving([reply]) as url:
        async with Client(url) as client:
            with pytest.raises(Untrusted) as noticed:
                await client.get(DOMAIN, "garden")

    assert noticed.value.code == "bad_signature"


async def test_a_head_older_than_the_one_shown_before_is_noticed() -> None:
    with serving([head_reply(signed(SECOND)), head_reply(signed(FIRST)), history_reply(FIRST)]) as url:
        async with Client(url) as client:
            await client.get(DOMAIN, "garden")
            with pytest.raises(Untrusted) as noticed:
                await client.get(DOMAIN, "garden")

    assert noticed.value.code == "head_lost"


async def test_a_label_that_is_gone_is_noticed() -> None:
    gone: Reply = (404, {}, b'{"code": "unknown_label", "detail": "nothing"}')

    with serving([head_reply(signed(SECOND)), gone, gone]) as url:
        async with Client(url) as client:
            await client.get(DOMAIN, "garden")
            with pytest.raises(Untrusted) as noticed:
                await client.get(DOMAIN, "garden")

    assert noticed.value.code == "head_lost"


async def test_a_node_that_loses_what_it_accepted_is_noticed() -> None:
    taken = json.dumps({signed(SECOND).signature: {"status": "accepted", "id": SECOND.id, "verdict": "updated"}})

    with serving([(201, {}, taken.encode()), head_reply(signed(FIRST)), history_reply(FIRST)]) as url:
        async with Client(url) as client:
            await client.put_signed(signed(SECOND))
            with pytest.raises(Untrusted):
                await client.get(DOMAIN, "garden")


LIES = {
    "a verdict": (history_reply(FIRST, SECOND, verdict="rival"), "verdicts_differ"),
    "a record of another label": (history_reply(FIRST, claim("shed", at=2)), "bad_signature"),
    "a history that is none": ((200, {}, b"{}"), "unreachable"),
}


@pytest.mark.parametrize(("reply", "code"), LIES.values(), ids=LIES.keys())
async def test_a_history_that_its_records_do_not_give_is_noticed(reply: Reply, code: str) -> None:
    with serving([reply]) as url:
        async with Client(url) as client:
            with pytest.raises((Untrusted, Unreachable)) as noticed:
                await client.history(DOMAIN, "garden")

    assert noticed.value.code == code


async def test_a_listing_with_what_nobody_asked_for_is_noticed() -> None:
    line = json.dumps({"signature": signed(FIRST).signature, "record": json.loads(FIRST.canonical)}).encode()

    with serving([(200, {}, line + b"\n")]) as url:
        async with Client(url) as client:
            with pytest.raises(Untrusted):
                async for _ in client.claims(DOMAIN, prefix="x"):
                    pass


async def test_a_client_that_believes_its_own_node_does_not_verify() -> None:
    with serving([head_reply(FORGED)]) as url:
        async with Client(url, verify=False) as client:
            head = await client.get(DOMAIN, "garden")

    assert head == Claim(FORGED)


async def test_a_record_that_is_called_final_without_proof_is_noticed() -> None:
    line = b'{"signature":"%s","record":%s}\n' % (PROPOSED.signature.encode(), PROPOSED.record.canonical)

    with serving([outcome_reply(certainty="final"), (200, {}, line)]) as url:
        async with Client(url) as client:
            with pytest.raises(Untrusted, match="not proven"):
                await client.wait_for_final(Claim(PROPOSED), wait_s=120)

"""Writing claims over HTTP: each refusal has its status, and every answer names its record."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.http_api.handlers.write import BATCH_BYTES_MAX, BATCH_RECORDS_MAX, COLONS_MAX, read_batch
from node.node import Node
from protocol.errors import Code, ProtocolError
from protocol.limits import SPELLING_BYTES_MAX
from protocol.records.record import Record
from tests.history import ALICE, BOB, CAROL, claim, signed
from tests.node.http_api.talking import NOW, Client, as_admin, batch, entry, fresh

SIGNATURE = "0" * 128
AGE_S_MAX = 300
"""The default of `max_age` and of `max_skew`, in seconds."""


async def test_a_claim_is_accepted_once_and_known_afterwards(client: Client) -> None:
    record = fresh()

    first, second = await client.put(record), await client.put(record)

    name = signed(record).signature
    assert (first.status, first.json()) == (
        201,
        {name: {"status": "accepted", "id": record.id, "verdict": "founded"}},
    )
    assert (second.status, second.json()[name]["status"]) == (200, "known")


REFUSED = {
    "of another signer": (claim("garden", BOB, at=NOW + 1), 403, "not_owner"),
    "not newer than the head": (claim("garden", ALICE, at=NOW - 1), 409, "stale"),
    "too far in the past": (claim("garden", ALICE, at=NOW - AGE_S_MAX - 1), 422, "too_old"),
    "too far in the future": (claim("garden", ALICE, at=NOW + AGE_S_MAX + 1), 422, "too_new"),
    "reserved": (claim("@garden", ALICE, at=NOW), 400, "malformed"),
}


@pytest.mark.parametrize(("record", "status", "code"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_refusal_has_its_status_and_names_the_record(
    client: Client, record: Record, status: int, code: str
) -> None:
    await client.put(fresh())

    answer = await client.put(record)

    outcome = answer.json()[signed(record).signature]
    assert (answer.status, outcome["status"], outcome["code"]) == (status, "refused", code)
    assert outcome["id"] == record.id


async def test_a_forged_claim_is_unauthorized(client: Client) -> None:
    answer = await client.send("PUT", f"/claims/{signed(fresh('other')).signature}", fresh().canonical)

    (outcome,) = answer.json().values()
    assert (answer.status, outcome["code"]) == (401, "bad_signature")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"domain":"a"}', b"[" * 100_000, b"\x00"])
async def test_a_body_that_is_no_record_is_malformed(client: Client, body: bytes) -> None:
    answer = await client.send("PUT", f"/claims/{SIGNATURE}", body)

    assert (answer.status, answer.json()[SIGNATURE]["code"]) == (400, "malformed")


@pytest.mark.parametrize("name", ["x", "%00", "%22", "%ED%A0%80", "a%2Fb"])
async def test_a_name_that_is_no_signature_is_malformed(client: Client, name: str) -> None:
    answer = await client.send("PUT", f"/claims/{name}", fresh().canonical)

    (outcome,) = answer.json().values()
    assert (answer.status, outcome["code"]) == (400, "malformed")


async def in_chunks(size_bytes: int) -> AsyncIterator[bytes]:
    """A body that does not announce its length."""
    while size_bytes > 0:
        yield b" " * min(size_bytes, 65_536)
        size_bytes -= 65_536


async def test_a_record_is_refused_one_byte_past_the_limit(client: Client) -> None:
    whole = await client.send("PUT", f"/claims/{SIGNATURE}", b" " * SPELLING_BYTES_MAX)
    announced = await client.send("PUT", f"/claims/{SIGNATURE}", b" " * (SPELLING_BYTES_MAX + 1))
    chunked = await client.send("PUT", f"/claims/{SIGNATURE}", in_chunks(SPELLING_BYTES_MAX + 1))

    assert (whole.status, announced.status, chunked.status) == (400, 413, 413)
    assert announced.json()[SIGNATURE]["code"] == chunked.json()[SIGNATURE]["code"] == "too_large"


async def test_a_batch_is_refused_one_byte_past_the_limit(client: Client) -> None:
    whole = await client.send("PUT", "/claims", b"{}".ljust(BATCH_BYTES_MAX))
    announced = await client.send("PUT", "/claims", b"{}".ljust(BATCH_BYTES_MAX + 1))
    chunked = await client.send("PUT", "/claims", in_chunks(BATCH_BYTES_MAX + 1))

    assert (whole.status, whole.json()) == (200, {})
    assert announced.refusal == chunked.refusal == (413, "too_large")


async def test_a_batch_answers_with_the_outcome_of_each_record(client: Client) -> None:
    good, forged = fresh("good"), fresh("forged")
    entries = [entry(signed(good)), b'"%s":%s' % (SIGNATURE.encode(), forged.canonical), b'"x":1']

    answer = await client.send("PUT", "/claims", b"{%s}" % b",".join(entries))

    outcomes = answer.json()
    assert answer.status == 200
    assert list(outcomes) == [signed(good).signature, SIGNATURE, "x"]
    assert [outcome.get("code", outcome["status"]) for outcome in outcomes.values()] == [
        "accepted",
        "bad_signature",
        "malformed",
    ]


async def test_a_batch_is_admitted_in_order_key_order(client: Client) -> None:
    first, second, third = (claim("garden", at=NOW + number) for number in range(3))

    answer = await client.put_batch([third, first, second])

    assert [outcome["verdict"] for outcome in answer.json().values()] == ["updated", "founded", "updated"]


async def test_a_batch_may_have_a_thousand_records_and_not_one_more(client: Client) -> None:
    entries = [b'"%d":1' % number for number in range(BATCH_RECORDS_MAX + 1)]

    thousand = await client.send("PUT", "/claims", b"{%s}" % b",".join(entries[:BATCH_RECORDS_MAX]))
    more = await client.send("PUT", "/claims", b"{%s}" % b",".join(entries))

    assert len(thousand.json()) == BATCH_RECORDS_MAX
    assert more.refusal == (413, "too_large")


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b'{"a":}', b"\xff\xfe", b'{"a":1}x', b'{"\xff":1}'])
async def test_a_body_that_is_no_dict_of_records_is_malformed(client: Client, body: bytes) -> None:
    assert (await client.send("PUT", "/claims", body)).refusal == (400, "malformed")


async def test_a_repeated_signature_is_refused_and_not_dropped_silently(client: Client) -> None:
    one = entry(signed(fresh()))

    answer = await client.send("PUT", "/claims", b"{%s,%s}" % (one, one))

    assert answer.refusal == (400, "malformed")
    assert (await client.get("/domains")).json() == []


_values = st.recursive(
    st.none() | st.integers(0, 9) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=10,  # the default of 100 takes 0.03 s to draw, and no rule needs so large a value
)
_pairs = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "é"]), _values), max_size=5)


def read_or_refused(body: bytes) -> list[tuple[str, Any]] | Code:
    """The entries of the batch, or the code of the refusal."""
    try:
        return [(one.signature, json.loads(one.body)) for one in read_batch(body)]
    except ProtocolError as error:
        return error.code


@given(pairs=_pairs, indent=st.sampled_from([None, 2]))
def test_a_batch_is_read_whole_or_not_at_all(pairs: list[tuple[str, Any]], indent: int | None) -> None:
    entries = [f"{json.dumps(key)}:{json.dumps(value, indent=indent)}" for key, value in pairs]
    is_unique = len({key for key, _ in pairs}) == len(pairs)

    read = read_or_refused(("{ " + ",\n".join(entries) + " }").encode())

    assert read == (pairs if is_unique else Code.MALFORMED)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_batch_or_malformed(body: bytes) -> None:
    read = read_or_refused(body)

    assert read is Code.MALFORMED or read == list(json.loads(body).items())


@pytest.mark.parametrize(("keys", "code"), [(COLONS_MAX, Code.TOO_LARGE), (COLONS_MAX + 1, Code.MALFORMED)])
def test_a_batch_of_too_many_keys_that_are_no_signatures_is_not_even_counted(keys: int, code: Code) -> None:
    """To count 700,000 tiny keys held the loop for 0.4 s."""
    body = json.dumps(dict.fromkeys(map(str, range(keys)), 0)).encode()

    assert read_or_refused(body) is code


def test_a_key_that_is_no_signature_is_an_entry_like_others() -> None:
    body = b'{"%s": {}, "no signature": {}}' % (b"0" * 128)

    assert read_or_refused(body) == [("0" * 128, {}), ("no signature", {})]


async def test_a_claim_is_accepted_if_its_condition_holds(client: Client) -> None:
    first, second, third = (claim("garden", at=NOW + number) for number in range(3))

    founded = await client.put(first, {"If-None-Match": "*"})
    updated = await client.put(second, {"If-Match": f'"{first.id}"'})
    again = await client.put(third, {"If-Match": "*"})

    assert [founded.status, updated.status, again.status] == [201, 201, 201]


async def test_a_claim_is_refused_if_its_condition_fails(client: Client) -> None:
    unfounded = await client.put(fresh(), {"If-Match": "*"})
    first, second, third = (claim("garden", at=NOW + number) for number in range(3))
    await client.put_batch([first, second])

    founded = await client.put(third, {"If-None-Match": "*"})
    moved = await client.put(third, {"If-Match": f'"{first.id}"'})

    assert [unfounded.status, founded.status, moved.status] == [412, 412, 412]
    assert moved.json()[signed(third).signature]["head"]["id"] == second.id


async def test_a_condition_on_a_batch_is_malformed(client: Client) -> None:
    assert (await client.put_batch([fresh()], {"If-Match": "*"})).refusal == (400, "malformed")


async def test_many_clients_may_write_at_once(client: Client, node: Node) -> None:
    records = [claim(f"{by.public[:4]}-{number}", by, at=NOW) for by in (ALICE, BOB, CAROL) for number in range(20)]

    answers = await asyncio.gather(*(client.put(record) for record in records))

    assert {answer.status for answer in answers} == {201}
    assert len((await client.get("/claims")).json()) == len(records)


async def test_an_import_may_be_of_any_age(client: Client, node: Node) -> None:
    answer = await client.send("PUT", "/claims", batch([signed(claim("garden", at=1))]), as_admin(node))

    assert [outcome["status"] for outcome in answer.json().values()] == ["accepted"]

"""What a frame may hold, to the letter and to the limit; anything else is one error."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Code, ProtocolError
from protocol.limits import DOMAIN_CHARACTERS_MAX, IDS_MAX, SAFE_INTEGER_MAX
from protocol.link.messages import (
    AGENT_CHARACTERS_MAX,
    DETAIL_CHARACTERS_MAX,
    DOMAINS_PAGE_MAX,
    FRAME_BYTES_MAX,
    INSTANCE_CHARACTERS_MAX,
    ITEM_OVERHEAD_BYTES,
    RECONCILE_BYTES_MAX,
    RECORDS_MAX,
    REFUSED_MAX,
    Ack,
    Auth,
    CaughtUp,
    Domains,
    Erased,
    Error,
    Have,
    Hello,
    Item,
    Message,
    Notice,
    Prune,
    Reconcile,
    Records,
    Since,
    Summary,
    Want,
    decode,
    encode,
    encode_records,
)
from tests.history import ALICE, claim, signed

ID = "ab" * 32
FINGERPRINT = "cd" * 16
SIGNATURE = "ef" * 64
ITEM = Item(SIGNATURE, msgspec.Raw(b'{"a":1}'))

FRAMES: list[tuple[Message, dict[str, Any]]] = [
    (
        Hello(1, ID, ID, "dnarc", push=True, pull=False, time=5, features=("witness",), instance="x"),
        {
            "type": "hello",
            "version": 1,
            "node": ID,
            "nonce": ID,
            "agent": "dnarc",
            "push": True,
            "pull": False,
            "time": 5,
            "features": ["witness"],
            "instance": "x",
        },
    ),
    (Auth(SIGNATURE), {"type": "auth", "signature": SIGNATURE}),
    (
        Domains({"example": Summary(1, FINGERPRINT, 5)}, more=True),
        {
            "type": "domains",
            "domains": {"example": {"count": 1, "fingerprint": FINGERPRINT, "newest": 5}},
            "more": True,
        },
    ),
    (Since("example", 7), {"type": "since", "domain": "example", "timestamp": 7}),
    (
        Since("example", 7, FINGERPRINT),
        {"type": "since", "domain": "example", "timestamp": 7, "fingerprint": FINGERPRINT},
    ),
    (
        Records(seq=3, domain="example", hops=2, records=(ITEM,)),
        {
            "type": "records",
            "seq": 3,
            "domain": "example",
            "hops": 2,
            "records": [{"signature": SIGNATURE, "record": {"a": 1}}],
        },
    ),
    (Ack(3, {ID: "too_new"}), {"type": "ack", "seq": 3, "refused": {ID: "too_new"}}),
    (Ack(3), {"type": "ack", "seq": 3, "refused": {}}),
    (
        CaughtUp("example", 9, FINGERPRINT),
        {"type": "caught_up", "domain": "example", "count": 9, "fingerprint": FINGERPRINT},
    ),
    (Reconcile("example", b"abc"), {"type": "reconcile", "domain": "example", "message": "YWJj"}),
    (Have((ID,), 3), {"type": "have", "ids": [ID], "hops": 3}),
    (Want((ID,), eager=True), {"type": "want", "ids": [ID], "eager": True}),
    (Erased("test", ((5, ID),)), {"type": "erased", "domain": "test", "keys": [[5, ID]]}),
    (Prune(), {"type": "prune"}),
    (Reconcile("example", b"", agreed=True), {"type": "reconcile", "domain": "example", "message": "", "agreed": True}),
    (Notice("duplicate_key", "no"), {"type": "notice", "code": "duplicate_key", "detail": "no"}),
    (Error("malformed", "no"), {"type": "error", "code": "malformed", "detail": "no"}),
]


def refusal_of(text: str) -> Code | None:
    try:
        decode(text)
    except ProtocolError as error:
        return error.code
    return None


@pytest.mark.parametrize(("message", "fields"), FRAMES, ids=lambda value: type(value).__name__)
def test_each_message_is_the_object_that_the_contract_shows(message: Message, fields: dict[str, Any]) -> None:
    text = encode(message)

    assert json.loads(text) == fields
    assert decode(text) == message


@pytest.mark.parametrize(("message", "fields"), FRAMES, ids=lambda value: type(value).__name__)
def test_fields_that_this_version_does_not_know_are_ignored(message: Message, fields: dict[str, Any]) -> None:
    text = json.dumps(fields | {"later": {"versions": ["may", "add", 1]}}, separators=(",", ":"))

    assert decode(text) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "hello", "version": 1, "node": ID, "nonce": ID}, Hello(1, ID, ID)),
        (
            {"type": "domains", "domains": {"a": {"count": 0, "fingerprint": FINGERPRINT}}},
            Domains({"a": Summary(0, FINGERPRINT)}),
        ),
        ({"type": "ack", "seq": 1}, Ack(1)),
        ({"type": "have", "ids": []}, Have(())),
        ({"type": "want", "ids": []}, Want(())),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_a_field_that_a_peer_may_leave_out_has_a_default(fields: dict[str, Any], message: Message) -> None:
    assert decode(json.dumps(fields)) == message


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "hello", "version": 1, "node": ID, "nonce": ID, "agent": None},
        {"type": "hello", "version": 1, "node": ID, "nonce": ID, "push": None},
        {"type": "domains", "domains": {}, "more": None},
        {"type": "ack", "seq": 1, "refused": None},
        {"type": "have", "ids": [ID], "hops": None},
        {"type": "want", "ids": [ID], "eager": None},
    ],
    ids=lambda fields: f"{fields['type']}.{list(fields)[-1]}",
)
def test_a_field_that_may_be_left_out_may_not_be_null(fields: dict[str, Any]) -> None:
    """The contract gives these fields no null, so a peer that sends null means something that we do not know."""
    assert refusal_of(json.dumps(fields)) is Code.MALFORMED


def test_a_type_that_this_version_does_not_know_is_ignored() -> None:
    assert decode('{"type":"later","ids":7}') is None


@pytest.mark.parametrize(("message", "fields"), FRAMES, ids=lambda value: type(value).__name__)
def test_a_frame_that_is_cut_off_anywhere_is_malformed(message: Message, fields: dict[str, Any]) -> None:
    text = encode(message)

    for length in range(len(text)):
        with pytest.raises(ProtocolError) as caught:
            decode(text[:length])
        assert caught.value.code is Code.MALFORMED


@pytest.mark.parametrize(("message", "fields"), FRAMES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("value", [None, -1, 1.5, "x", [], {}, True, "\n", [[]], 2**70])
def test_a_field_of_any_value_gives_a_message_or_malformed(
    message: Message, fields: dict[str, Any], value: object
) -> None:
    for name in fields:
        assert refusal_of(json.dumps(fields | {name: value})) in (None, Code.MALFORMED)


BROKEN = [
    ("not an object", "[]"),
    ("empty", ""),
    ("no type", "{}"),
    ("a type that is not a string", '{"type":7}'),
    ("a lone surrogate", "\ud800"),
    ("a lone surrogate, escaped", '{"type":"error","code":"\\ud800"}'),
    ("nested very deeply", '{"type":"prune","x":' + "[" * 100_000),
    ("nested very deeply in an unknown type", '{"type":"later","x":' + "[" * 100_000),
    ("a nonce in capitals", json.dumps(FRAMES[0][1] | {"nonce": "AB" * 32})),
    ("a key with a line feed", json.dumps(FRAMES[0][1] | {"node": ID + "\n"})),
    ("a domain with a space", json.dumps({"type": "since", "domain": "no domain", "timestamp": 1})),
    (
        "a domain that is too long",
        json.dumps({"type": "since", "domain": "a" * (DOMAIN_CHARACTERS_MAX + 1), "timestamp": 1}),
    ),
    ("a timestamp below zero", json.dumps({"type": "since", "domain": "a", "timestamp": -1})),
    ("frame number zero", json.dumps({"type": "ack", "seq": 0})),
    ("not base64", json.dumps({"type": "reconcile", "domain": "a", "message": "a"})),
    ("base64 with a line feed", json.dumps({"type": "reconcile", "domain": "a", "message": "YWJj\n"})),
    ("no records", json.dumps({"type": "records", "seq": 1, "records": []})),
    ("text after the object", '{"type":"prune"} x'),
]


@pytest.mark.parametrize(("name", "text"), BROKEN, ids=[name for name, _ in BROKEN])
def test_a_text_that_is_not_a_frame_is_malformed(name: str, text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(text)

    assert caught.value.code is Code.MALFORMED


@given(st.text(max_size=200))
def test_any_text_gives_a_message_or_one_error(text: str) -> None:
    assert refusal_of(text) in (None, Code.MALFORMED)


def many_ids(count: int) -> tuple[str, ...]:
    return tuple(f"{number:064x}" for number in range(count))


LIMITS = [
    ("records", lambda size: Records(seq=1, records=(ITEM,) * size), RECORDS_MAX),
    ("ids of a have", lambda size: Have(many_ids(size)), IDS_MAX),
    ("ids of a want", lambda size: Want(many_ids(size)), IDS_MAX),
    ("refusals", lambda size: Ack(1, dict.fromkeys(many_ids(size), "stale")), REFUSED_MAX),
    (
        "domains of a page",
        lambda size: Domains({f"d{number}": Summary(0, FINGERPRINT, None) for number in range(size)}),
        DOMAINS_PAGE_MAX,
    ),
    ("bytes of a reconciliation", lambda size: Reconcile("a", bytes(size)), RECONCILE_BYTES_MAX),
    ("an agent", lambda size: Hello(1, ID, ID, "x" * size, push=True, pull=True), AGENT_CHARACTERS_MAX),
    ("an instance", lambda size: Hello(1, ID, ID, instance="x" * size), INSTANCE_CHARACTERS_MAX),
    ("a detail", lambda size: Error("timeout", "x" * size), DETAIL_CHARACTERS_MAX),
]


@pytest.mark.parametrize(("name", "build", "limit"), LIMITS, ids=[name for name, _, _ in LIMITS])
def test_every_list_and_text_is_read_up_to_its_limit_and_refused_one_past_it(name: str, build: Any, limit: int) -> None:
    allowed, refused = build(limit), build(limit + 1)

    assert decode(encode(allowed)) == allowed
    with pytest.raises(ProtocolError) as caught:
        decode(encode(refused))
    assert caught.value.code is Code.MALFORMED


@pytest.mark.parametrize("filler", ["x", "é"])
def test_a_frame_is_read_up_to_its_limit_in_bytes_and_refused_one_past_it(filler: str) -> None:
    head = '{"type":"later","x":"'
    room = FRAME_BYTES_MAX - len(head) - len('"}')
    fits = head + filler * (room // len(filler.encode())) + "x" * (room % len(filler.encode())) + '"}'

    assert decode(fits) is None
    with pytest.raises(ProtocolError) as caught:
        decode(fits + " ")
    assert caught.value.code is Code.TOO_LARGE


def test_the_largest_legal_frames_are_shorter_than_the_limit() -> None:
    domains = Domains(
        {
            f"{number:03}".ljust(DOMAIN_CHARACTERS_MAX, "a"): Summary(SAFE_INTEGER_MAX, FINGERPRINT, SAFE_INTEGER_MAX)
            for number in range(DOMAINS_PAGE_MAX)
        }
    )
    ack = Ack(SAFE_INTEGER_MAX, dict.fromkeys(many_ids(REFUSED_MAX), "precondition_failed"))

    assert max(len(encode(message)) for message in (domains, ack)) < FRAME_BYTES_MAX


def test_records_are_read_byte_for_byte() -> None:
    """Another spelling must reach the intake of records, because that is where it is refused."""
    spelled = '{ "b":1.0,\t"a":"\\u0041"}'

    message = decode('{"type":"records","seq":1,"records":[{"signature":"s","record": ' + spelled + " }]}")

    assert isinstance(message, Records)
    assert [item.body for item in message.records] == [spelled.encode()]


@pytest.mark.parametrize(("domain", "hops"), [(None, 0), ("example", 0), (None, 7)])
def test_joined_records_give_the_same_text_as_encoded_records(domain: str | None, hops: int) -> None:
    records = [signed(claim(label, by=ALICE, at=at)) for at, label in enumerate(("garden", "gärten", '"\\'), start=1)]

    text = encode_records(5, records, domain, hops)

    items = tuple(Item(it.signature, msgspec.Raw(it.record.canonical)) for it in records)
    assert text == encode(Records(seq=5, domain=domain, hops=hops or None, records=items))
    assert decode(text) == Records(seq=5, domain=domain, hops=hops or None, records=items)


def test_a_record_takes_as_many_bytes_as_are_counted_for_it() -> None:
    records = [signed(claim("garden", at=at)) for at in (1, 2)]

    grown = len(encode_records(1, records)) - len(encode_records(1, records[:1]))

    assert grown == len(records[1].record.canonical) + ITEM_OVERHEAD_BYTES

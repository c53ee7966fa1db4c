"""Reading single things over HTTP."""

import hashlib

import pytest

from node.node import Node
from tests.history import ALICE, BOB, NOWHERE, claim, signed
from tests.node.http_api.talking import NOW, Client, fresh, listed, shown


async def test_a_head_is_a_dict_by_signature_with_its_id_as_etag(client: Client) -> None:
    record = fresh()
    await client.put(record)

    answer = await client.get("/claims/example/garden")

    assert answer.status == 200
    assert answer.headers["ETag"] == f'"{record.id}"'
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert listed(answer) == shown(record)
    assert record.canonical in answer.body, "the answer holds the canonical bytes unchanged"


async def test_a_client_with_the_old_head_gets_the_new_one(client: Client) -> None:
    old, new = fresh(), claim("garden", at=NOW + 1)
    await client.put(old)
    await client.get("/claims/example/garden")
    await client.put(new)

    answer = await client.get("/claims/example/garden", {"If-None-Match": f'"{old.id}"'})

    assert (answer.status, listed(answer)) == (200, shown(new))


LABELS = {
    "a slash": ("a/b", "a%2Fb"),
    "braces": ("{label}", "%7Blabel%7D"),
    "a percent sign": ("100%", "100%25"),
    "a percent sign and digits": ("%2F", "%252F"),
    "a plus and a space": ("a+b c", "a+b%20c"),
    "a question mark and a hash": ("who?#", "who%3F%23"),
    "beyond ASCII": ("žluťoučký 🐎", "%C5%BElu%C5%A5ou%C4%8Dk%C3%BD%20%F0%9F%90%8E"),
    "the word history": ("history", "history"),
    "an at sign inside": ("me@here", "me@here"),
}


@pytest.mark.parametrize(("label", "path"), LABELS.values(), ids=LABELS.keys())
async def test_any_label_can_be_read(client: Client, label: str, path: str) -> None:
    record = fresh(label)
    await client.put(record)

    head = await client.get(f"/claims/example/{path}")
    history = await client.get(f"/claims/example/{path}/history")

    assert listed(head) == shown(record)
    assert history.json()["label"] == label


@pytest.mark.parametrize("label", ["other", "%00", "%ED%A0%80", "%FF", "%C0%AF", "a" * 256, "%7F"])
@pytest.mark.parametrize("tail", ["", "/history"])
async def test_a_label_that_nobody_claimed_or_can_claim_is_unknown(client: Client, label: str, tail: str) -> None:
    await client.put(fresh())

    answer = await client.get(f"/claims/example/{label}{tail}")

    assert answer.refusal == (404, "unknown_label")


IN_QUERY = {
    "a dot": (".", "."),
    "two dots": ("..", ".."),
    "dots and slashes": ("../x", "../x"),
    "slashes": ("a//b/", "a//b/"),
    "a percent sign and digits": ("%2F", "%252F"),
    "a plus and a space": ("a+b c", "a%2Bb+c"),
    "an ampersand": ("a&b=c", "a%26b%3Dc"),
    "beyond ASCII": ("žluťoučký 🐎", "%C5%BElu%C5%A5ou%C4%8Dk%C3%BD%20%F0%9F%90%8E"),
}


@pytest.mark.parametrize(("label", "spelled"), IN_QUERY.values(), ids=IN_QUERY.keys())
async def test_any_label_can_be_named_in_the_query(client: Client, label: str, spelled: str) -> None:
    record = fresh(label)
    await client.put(record)

    head = await client.get(f"/claims/example?label={spelled}")
    again = await client.get(f"/claims/example?label={spelled}", {"If-None-Match": head.headers["ETag"]})
    history = await client.get(f"/history?domain=example&label={spelled}")

    assert listed(head) == shown(record)
    assert head.headers["ETag"] == f'"{record.id}"'
    assert (again.status, again.body) == (304, b"")
    assert (history.json()["label"], history.json()["head"]) == (label, record.id)


@pytest.mark.parametrize("label", ["other", "", "%00", "a" * 256])
async def test_an_unknown_label_in_the_query_is_said_to_be_unknown(client: Client, label: str) -> None:
    await client.put(fresh())

    head = await client.get(f"/claims/example?label={label}")
    history = await client.get(f"/history?domain=example&label={label}")

    assert head.refusal == history.refusal == (404, "unknown_label")


@pytest.mark.parametrize("rest", ["after=x", "prefix=g", "history=true", "history=false", "limit=1", "label=b"])
async def test_a_label_in_the_query_excludes_what_a_listing_takes(client: Client, rest: str) -> None:
    await client.put(fresh())

    assert (await client.get(f"/claims/example?label=garden&{rest}")).refusal == (400, "malformed")


@pytest.mark.parametrize("query", ["", "?domain=example", "?label=garden", "?domain=a&domain=b&label=c"])
async def test_a_history_by_query_needs_one_domain_and_one_label(client: Client, query: str) -> None:
    await client.put(fresh())

    assert (await client.get(f"/history{query}")).refusal == (400, "malformed")


async def test_bytes_that_are_not_utf_8_name_no_label(client: Client) -> None:
    """Decoders replace such bytes by U+FFFD, which a label may contain."""
    await client.put(fresh("\ufffd"))

    answers = [await client.get(path) for path in ("/claims/example?label=%FF", "/history?domain=example&label=%FF")]

    assert [answer.refusal for answer in answers] == [(400, "malformed")] * len(answers)


@pytest.mark.parametrize("domain", ["nowhere", "EXAMPLE", "%00", "%ED%A0%80", "-"])
@pytest.mark.parametrize("tail", ["", "/garden", "/garden/history"])
async def test_a_domain_without_records_is_unknown(client: Client, domain: str, tail: str) -> None:
    answer = await client.get(f"/claims/{domain}{tail}")

    assert answer.refusal == (404, "unknown_domain")


async def test_records_are_found_by_id_whether_accepted_or_not(client: Client, node: Node) -> None:
    founded, rival = claim("garden", ALICE, at=1), claim("garden", BOB, at=2)
    await client.import_all(node, [founded, rival])

    one = await client.get(f"/records/{rival.id}")
    some = await client.get(f"/records?id={rival.id}&id={NOWHERE}&id={founded.id}&id={rival.id}")

    assert listed(one) == shown(rival)
    assert listed(some) == shown(rival, founded)


@pytest.mark.parametrize("path", [f"/records/{NOWHERE}", f"/records?id={NOWHERE}"])
async def test_a_record_that_the_node_does_not_hold_is_unknown(client: Client, path: str) -> None:
    assert (await client.get(path)).refusal == (404, "unknown_record")


@pytest.mark.parametrize("path", ["/records/xy", "/records?id=xy", "/records", f"/records/{NOWHERE.upper()[:-1]}F"])
async def test_any_other_text_than_a_record_id_is_malformed(client: Client, path: str) -> None:
    assert (await client.get(path)).refusal == (400, "malformed")


async def test_one_request_may_name_a_hundred_records_and_not_one_more(client: Client) -> None:
    record = fresh()
    await client.put(record)
    others = [hashlib.sha256(bytes([number])).hexdigest() for number in range(100)]

    hundred = await client.get("/records?id=" + "&id=".join([record.id, *others[:99]]))
    more = await client.get("/records?id=" + "&id=".join([record.id, *others]))

    assert listed(hundred) == shown(record)
    assert more.refusal == (400, "malformed")


async def test_domains_are_all_that_hold_records_sorted(client: Client) -> None:
    await client.put_batch([fresh(domain="b"), fresh(domain="a.b"), fresh(domain="c")])

    assert (await client.get("/domains")).json() == ["a.b", "b", "c"]


async def test_a_node_says_who_it_is_and_what_it_holds(client: Client, node: Node) -> None:
    await client.put(fresh())

    answer = (await client.get("/node")).json()

    index = node.indexes.get("example")
    assert index is not None
    assert (answer["node"], answer["epoch"]) == (node.key.public, node.store.epoch)
    assert answer["domains"] == {"example": {"count": 1, "fingerprint": index.fingerprint().hex(), "newest": NOW}}
    assert answer["limits"]["batch_records_max"] == 1_000


async def test_another_spelling_of_a_record_is_the_same_record(client: Client) -> None:
    record = fresh()
    one = signed(record)

    spaced = await client.send("PUT", f"/claims/{one.signature}", record.canonical.replace(b",", b" ,\n"))

    assert spaced.status == 201
    assert listed(await client.get("/claims/example/garden")) == shown(record)

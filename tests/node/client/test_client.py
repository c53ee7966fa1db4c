"""The client of applications: it reads, writes and watches, on real nodes and on servers that answer as nodes do."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from node.client import Claim, Client, Conflict, Event, NodeError, Refused, Retry, SecretInClaim, Unreachable
from node.node import Node
from node.settings.settings import Settings
from node.store.removals import RemovalKind, Target
from node.world import World
from tests.history import ALICE, BOB, claim, signed
from tests.node.authority import Authority
from tests.node.client.test_http import Reply, serving

DOMAIN = "example"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with Node(Settings(port=0, data=tmp_path / "data"), World()) as node:
        yield node


@pytest.fixture
async def client(node: Node) -> AsyncIterator[Client]:
    async with Client(node.url) as client:
        yield client


async def test_a_label_is_founded_updated_offered_and_taken_over(client: Client) -> None:
    await client.put(DOMAIN, "garden", {"n": 1}, key=ALICE)
    await client.put(DOMAIN, "garden", {"n": 2, "newowner": BOB.public}, key=ALICE)
    await client.put(DOMAIN, "garden", {"n": 3}, key=BOB)

    history = await client.history(DOMAIN, "garden")

    assert [each.content for each in history.claims] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert [each.verdict for each in history.claims] == ["founded", "offered", "transferred"]
    assert history.owner == BOB.public
    assert [each.prev for each in history.claims] == [None, *[each.id for each in history.claims[:-1]]]


async def test_records_of_one_second_have_rising_timestamps(client: Client) -> None:
    written = [(await client.put(DOMAIN, "garden", {"n": n}, key=ALICE)).claim for n in range(5)]

    assert [each.timestamp - written[0].timestamp for each in written[1:]] >= [1, 2, 3, 4]
    assert await client.get(DOMAIN, "garden") == Claim(written[-1].signed, "claimed")


async def test_a_label_that_nobody_claimed_is_none(client: Client) -> None:
    assert await client.get(DOMAIN, "nothing") is None


@pytest.mark.parametrize("label", ["a/b", "..", "ü", "100%", "a b?c#d", "a\\b", "%2F"])
async def test_a_label_may_have_any_characters(client: Client, label: str) -> None:
    written = await client.put(DOMAIN, label, {}, key=ALICE)

    head = await client.get(DOMAIN, label)

    assert head is not None
    assert head.id == written.claim.id
    assert (await client.history(DOMAIN, label)).head == head.id


async def test_a_listing_comes_verified_and_selected(client: Client) -> None:
    for label, key in (("a1", ALICE), ("a2", BOB), ("b1", ALICE)):
        await client.put(DOMAIN, label, {}, key=key)

    async def labels(**selection: Any) -> list[str]:
        return [each.label async for each in client.claims(**selection)]

    assert await labels() == ["a1", "a2", "b1"]
    assert await labels(domain=DOMAIN, prefix="a") == ["a1", "a2"]
    assert await labels(signedby=ALICE.public) == ["a1", "b1"]


async def test_a_record_that_must_follow_a_claim_follows_no_other(client: Client) -> None:
    first = (await client.put(DOMAIN, "garden", {"n": 1}, key=ALICE)).claim
    second = (await client.put(DOMAIN, "garden", {"n": 2}, key=ALICE, after=first)).claim

    with pytest.raises(Conflict) as lost:
        await client.put(DOMAIN, "garden", {"n": 3}, key=ALICE, after=first)

    assert lost.value.code == "precondition_failed"
    assert lost.value.facts["head"]["id"] == second.id


async def test_a_record_that_must_found_its_label_does_not_replace_the_owners_own_claim(client: Client) -> None:
    await client.put(DOMAIN, "garden", {"n": 1}, key=ALICE, after=None)

    with pytest.raises(Conflict) as lost:
        await client.put(DOMAIN, "garden", {"n": 2}, key=ALICE, after=None)

    assert lost.value.code == "precondition_failed"


async def test_writers_that_merge_lose_nothing(node: Node) -> None:
    """Several clients sign up in one list at the same time."""

    async def sign_up(name: str) -> None:
        def add(head: Claim | None) -> Mapping[str, Any]:
            return {"names": [*([] if head is None else head.content["names"]), name]}

        async with Client(node.url) as client:
            await client.put(DOMAIN, "guests", add, key=ALICE)

    await asyncio.gather(*(sign_up(f"guest {number}") for number in range(6)))

    async with Client(node.url) as client:
        history = await client.history(DOMAIN, "guests")
    names = [each.content["names"] for each in history.claims]
    assert sorted(names[-1]) == [f"guest {number}" for number in range(6)]
    assert [len(each) for each in names] == [1, 2, 3, 4, 5, 6]


async def test_a_label_of_somebody_else_is_not_merged_for_ever(client: Client) -> None:
    await client.put(DOMAIN, "garden", {}, key=ALICE)
    calls: list[Claim | None] = []

    def draft(head: Claim | None) -> Mapping[str, Any]:
        calls.append(head)
        return {}

    with pytest.raises(Conflict) as refused:
        await client.put(DOMAIN, "garden", draft, key=BOB)

    assert (refused.value.code, len(calls)) == ("not_owner", 1)


async def test_a_record_that_comes_again_is_held_already(client: Client) -> None:
    record = signed(claim("garden", ALICE, at=int(time.time())))

    first = await client.put_signed(record)
    again = await client.put_signed(record)

    assert (first.is_new, again.is_new) == (True, False)
    assert first.claim.signed == again.claim.signed == record


async def test_a_refusal_has_the_code_and_the_facts_of_the_node(client: Client) -> None:
    old = signed(claim("garden", ALICE, at=1))

    with pytest.raises(Refused) as refused:
        await client.put_signed(old)

    assert (refused.value.code, refused.value.status, refused.value.signed) == ("too_old", 422, old)
    assert "now" in refused.value.facts


@pytest.mark.parametrize("content", [{"domain": "x"}, {"timestamp": 1}, {"n": 1e400}, {"newowner": "nobody"}])
async def test_content_that_can_be_no_claim_is_an_error_before_anything_is_sent(content: dict[str, Any]) -> None:
    async with Client("http://127.0.0.1:9") as client:
        with pytest.raises(ValueError, match=r"the protocol defines|this can be no record"):
            await client.put(DOMAIN, "garden", content, key=ALICE, after=None)


async def test_the_secret_half_of_the_key_is_never_published() -> None:
    async with Client("http://127.0.0.1:9") as client:
        with pytest.raises(SecretInClaim):
            await client.put(DOMAIN, "garden", {"backup": ALICE.seed.hex()}, key=ALICE, after=None)


async def test_a_node_that_is_away_is_unreachable_after_the_tries_allowed() -> None:
    async with Client("http://127.0.0.1:9", retry=Retry(tries_max=2)) as client:
        with pytest.raises(Unreachable) as away:
            await client.get(DOMAIN, "garden")

    assert (away.value.code, away.value.is_passing) == ("unreachable", True)


async def test_a_busy_node_is_asked_again_and_the_record_is_written_once(node: Node) -> None:
    record = signed(claim("garden", ALICE, at=int(time.time())))
    full = json.dumps({record.signature: {"status": "refused", "code": "overloaded", "detail": "full"}}).encode()
    held = json.dumps({record.signature: {"status": "known", "id": record.record.id, "verdict": "founded"}}).encode()
    log: list[str] = []

    with serving([(503, {}, full), (503, {}, b"<html>"), (200, {}, held)], log) as url:
        async with Client(url) as client:
            written = await client.put_signed(record)

    assert (written.claim.verdict, written.is_new, len(log)) == ("founded", False, 3)


async def test_a_record_whose_answer_was_lost_is_sent_again(node: Node) -> None:
    record = signed(claim("garden", ALICE, at=int(time.time())))
    known = json.dumps({record.signature: {"status": "known", "id": record.record.id}}).encode()
    log: list[str] = []

    with serving([(201, {"Content-Length": "1000"}, b"{"), (200, {}, known)], log) as url:
        async with Client(url) as client:
            written = await client.put_signed(record)

    assert (written.claim.signed, log[0]) == (record, log[1])


async def test_a_node_that_says_nothing_is_unreachable_after_the_time_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with Client(url, timeout_s=0.05, retry=Retry(tries_max=1)) as client:
            with pytest.raises(Unreachable, match="no node answers"):
                await client.get(DOMAIN, "garden")


WITNESSED = f"w{'a' * 51}a"
"""The name of a witnessed domain whose policy nobody knows."""
PROPOSED = signed(claim("garden", ALICE, at=1, domain=WITNESSED))


def outcome_reply(**fields: Any) -> Reply:
    outcome = {"status": "known", "id": PROPOSED.record.id, **fields}
    return 200, {}, json.dumps({PROPOSED.signature: outcome}).encode()


async def test_a_record_that_loses_against_another_is_a_conflict() -> None:
    lost = outcome_reply(status="refused", code="stale", detail="another", winner="0" * 64)

    with serving([outcome_reply(certainty="ordered"), lost]) as url:
        async with Client(url) as client:
            with pytest.raises(Conflict) as conflict:
                await client.wait_for_final(Claim(PROPOSED), wait_s=120)

    assert conflict.value.facts["winner"] == "0" * 64


async def test_the_wait_for_witnesses_has_an_end() -> None:
    with serving([outcome_reply(certainty="ordered")] * 50) as url:
        async with Client(url) as client:
            with pytest.raises(NodeError) as ended:
                await client.wait_for_final(Claim(PROPOSED), wait_s=0.3)

    assert ended.value.code == "not_final"


async def test_a_node_behind_tls_is_believed_where_the_authority_named_vouches_for_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    settings = Settings(port=0, data=tmp_path / "data", tls_certificate=authority.chain, tls_key=authority.key)

    async with Node(settings) as node:
        async with Client(node.url, authority=authority.ca) as client:
            summary = await client.node()
        async with Client(node.url) as client:
            with pytest.raises(Unreachable, match="no known authority has signed its certificate") as refused:
                await client.node()

    assert summary.node == node.key.public
    assert not refused.value.is_passing, "a wrong certificate does not become right by waiting"


async def test_a_node_below_a_path_is_asked_there_with_the_password_of_the_url() -> None:
    log: list[str] = []

    with serving([(404, {}, b'{"code": "unknown_label", "detail": "nothing"}')], log) as url:
        async with Client(url.replace("//", "//me:secret@") + "/below/") as client:
            head = await client.get(DOMAIN, "a/b")
            shown = client.url

    assert head is None
    assert log == ["GET /below/claims/example?label=a%2Fb Basic bWU6c2VjcmV0"]
    assert "secret" not in shown


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ws://127.0.0.1:8080", "http://127.0.0.1:99999"])
def test_a_wrong_url_is_an_error_at_once(url: str) -> None:
    with pytest.raises(ValueError, match=r"has no scheme|is for links|has a port"):
        Client(url)


async def test_an_erased_record_keeps_its_place_in_the_history(node: Node, client: Client) -> None:
    first = (await client.put(DOMAIN, "garden", {"n": 1}, key=ALICE)).claim
    second = (await client.put(DOMAIN, "garden", {"n": 2}, key=ALICE)).claim
    removal = await node.removals.begin(RemovalKind.ERASE, Target(ids=(first.id, second.id)), "me", "unlawful")
    await node.removals.wait(removal.number, 120)

    history = await client.history(DOMAIN, "garden")
    with pytest.raises(NodeError) as erased:
        await client.get(DOMAIN, "garden")
    third = (await client.put(DOMAIN, "garden", {"n": 3}, key=ALICE, after=history.claims[-1])).claim

    assert (await client.get(DOMAIN, "garden")) == Claim(third.signed, "claimed")
    assert [(each.id, each.is_erased, each.content) for each in history.claims] == [
        (first.id, True, {}),
        (second.id, True, {}),
    ]
    assert (history.head, history.owner) == (second.id, ALICE.public)
    assert (erased.value.code, erased.value.facts["reason"], erased.value.facts["owner"]) == (
        "erased",
        "unlawful",
        ALICE.public,
    )


@asynccontextmanager
async def relay(url: str) -> AsyncIterator[tuple[str, set[asyncio.StreamWriter]]]:
    """A relay to a node: its URL, and the connections, which a test can cut."""
    host, _, port = url.removeprefix("http://").partition(":")
    writers: set[asyncio.StreamWriter] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            writer.write(piece)
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        writers.update((writer, far_writer))
        await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer), return_exceptions=True)

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        near_port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{near_port}", writers
        for writer in writers:
            writer.close()


async def test_a_watch_goes_on_after_each_dropped_connection_and_misses_nothing(node: Node, client: Client) -> None:
    """Records are written before, between and after the drops, while no connection is open too."""
    events: list[Event] = []

    async with relay(node.url) as (url, writers), Client(url) as watching:
        await client.put(DOMAIN, "label-0", {}, key=ALICE)
        async with aclosing(watching.watch(domains=[DOMAIN], since="0")) as watch:
            async with asyncio.timeout(120):
                for number in range(1, 5):
                    events.append(await anext(watch))
                    for writer in writers:
                        writer.transport.abort()
                    writers.clear()
                    await client.put(DOMAIN, f"label-{number}", {}, key=ALICE)
                events.append(await anext(watch))

    assert [event.claim.label for event in events] == [f"label-{number}" for number in range(5)]
    assert [event.seq for event in events] == [1, 2, 3, 4, 5]
    assert {event.type for event in events} == {"accepted"}


async def test_a_watch_resumes_at_the_cursor_of_an_event(client: Client) -> None:
    for number in range(3):
        await client.put(DOMAIN, f"label-{number}", {}, key=ALICE)
    async with aclosing(client.watch(since="0")) as watch:
        first = await anext(watch)

    async with aclosing(client.watch(since=first.cursor)) as watch:
        second = await anext(watch)

    assert (first.claim.label, second.claim.label) == ("label-0", "label-1")


async def test_a_cursor_of_another_store_ends_the_watch(client: Client) -> None:
    with pytest.raises(NodeError) as ended:
        await anext(client.watch(since="5-" + "0" * 32))

    assert ended.value.code in ("cursor_unknown", "malformed")

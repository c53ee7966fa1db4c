"""A peer that breaks the rules: its link closes with a code, and the node goes on."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from node.fairness.crowd import STRANGERS_BURST_S
from node.links.transport import CONTROL_FRAMES_PER_MINUTE_MAX
from node.store.contract import Peer
from protocol.limits import IDS_MAX
from protocol.link.messages import (
    FRAME_BYTES_MAX,
    Ack,
    Auth,
    Have,
    Hello,
    Reconcile,
    Records,
    Since,
    Want,
    encode,
    encode_records,
)
from tests.history import ALICE, BOB, CAROL, DOMAIN, claim, signed
from tests.node.http_sync.sync_network import NOW, claims, give, held, ids
from tests.node.links.network import links, running, until
from tests.node.links.raw_peer import NONCE, RawPeer, dialled, linked

FLOOD_FRAMES = 39
PAUSE_S = 0.1
EMPTY_LISTS = b"\x61" + bytes.fromhex("01 00 02 00") * 500
"""Ranges that a node compares in several steps."""
FLOOD_FRAME_RECORDS = 256
ANNOUNCEMENTS = 20

TOO_MANY = [f"{number:064x}" for number in range(IDS_MAX + 1)]
ITEM = '{"signature":"%s","record":{}}' % ("0" * 128)

BAD_FRAMES = {
    "no JSON": ("{", "malformed", 1008),
    "a truncated frame": (encode(Ack(1))[:-3], "malformed", 1008),
    "a mistyped field": ('{"type":"ack","seq":"one"}', "malformed", 1008),
    "a missing field": ('{"type":"since"}', "malformed", 1008),
    "a list past its limit": (f'{{"type":"have","ids":{list(TOO_MANY)}}}'.replace("'", '"'), "malformed", 1008),
    "a second hello": (encode(Hello(1, CAROL.public, NONCE, "raw", True, True)), "malformed", 1008),
    "a second auth": (encode(Auth("0" * 128)), "malformed", 1008),
    "a frame of records that is repeated": (encode_records(2, [signed(claim("a"))]), "malformed", 1008),
    "an ack of a frame that was never sent": (encode(Ack(7)), "malformed", 1008),
    "an object that is no record": (f'{{"type":"records","seq":1,"records":[{ITEM}]}}', "malformed", 1008),
    "nonsense in a reconciliation": (encode(Reconcile(DOMAIN, b"\x61\xff\xff")), "malformed", 1008),
}


@pytest.mark.parametrize(("text", "code", "close_code"), BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
async def test_a_bad_frame_ends_the_link_but_not_the_node(
    tmp_path: Path, text: str, code: str, close_code: int
) -> None:
    async with running(tmp_path / "a") as a:
        async with linked(a) as peer:
            await peer.say(text)

            assert await peer.goodbye() == (code, close_code)

        async with linked(a) as peer:
            await give(a, *claims(1))
            assert await peer.hear(Records)


async def test_a_frame_of_the_largest_size_is_read_and_one_more_byte_ends_the_link(tmp_path: Path) -> None:
    empty = '{"type":"later","x":""}'
    async with running(tmp_path / "a") as a, linked(a) as peer:
        await peer.say(empty.replace('""', f'"{"x" * (FRAME_BYTES_MAX - len(empty))}"'))
        await peer.say(Since(DOMAIN, 0))
        await peer.hear(object)

        await peer.say(empty.replace('""', f'"{"x" * (FRAME_BYTES_MAX - len(empty) + 1)}"'))

        assert await peer.goodbye() == ("too_large", 1009)


async def test_a_binary_frame_ends_the_link(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, linked(a) as peer:
        await peer.connection.send(b"{}")

        assert await peer.goodbye() == ("malformed", 1008)


async def test_a_forged_proof_of_a_key_opens_no_link(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a:
        await a.peers.put(Peer(key=BOB.public, accept=True))
        async with dialled(a) as connection:
            peer = RawPeer(connection)
            await peer.say(Hello(1, BOB.public, NONCE, "raw", True, True))
            await peer.hear(Hello)
            await peer.say(Auth(CAROL.sign(b"another message")))

            assert await peer.goodbye() == ("bad_signature", 1008)
        assert links(a) == []


async def test_a_record_with_a_bad_signature_ends_the_link(tmp_path: Path) -> None:
    record = signed(claim("garden", at=NOW))
    forged = encode_records(1, [record]).replace(record.signature, BOB.sign(record.record.canonical))
    async with running(tmp_path / "a") as a:
        async with linked(a) as peer:
            await peer.say(forged)

            assert await peer.goodbye() == ("bad_signature", 1008)
        assert held(a) == set()


async def test_a_record_in_another_spelling_ends_the_link_although_its_signature_is_good(tmp_path: Path) -> None:
    record = signed(claim("garden", at=NOW))
    spelled = encode_records(1, [record]).replace('"record":{', '"record":{ ')
    async with running(tmp_path / "a") as a:
        async with linked(a) as peer:
            await peer.say(spelled)

            assert await peer.goodbye() == ("malformed", 1008)
        assert held(a) == set()


async def test_records_with_reserved_labels_are_refused_and_end_no_link(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, linked(a) as peer:
        reserved, ordinary = claim("@later", at=NOW), claim("garden", at=NOW)
        await peer.give(reserved, ordinary)

        ack = await peer.hear(Ack)

        assert ack == Ack(1, {reserved.id: "malformed"})
        assert held(a) == ids([ordinary])


async def test_a_stranger_that_causes_too_much_work_is_not_read_and_a_listed_peer_is(tmp_path: Path) -> None:
    """Each question has ranges that cost the most for their bytes. A stranger has 0.1 s of work at first."""
    questions = 100
    question = encode(Reconcile(DOMAIN, b"\x61" + bytes.fromhex("01 00 02 00") * 500))
    async with running(tmp_path / "a") as a:
        await a.peers.put(Peer(key=BOB.public, accept=True))
        await give(a, *claims(1))
        async with linked(a, CAROL) as stranger, linked(a, BOB) as listed:
            sending = asyncio.create_task(stranger.say(*[question] * questions))
            strange = next(each for each in a.links.by_number.values() if each.peer_key == CAROL.public)
            greeting = strange.counts.frames_in
            await until(lambda: strange.counts.frames_in > greeting, a)

            await listed.give(claim("garden", at=NOW))

            assert await listed.hear(Ack) == Ack(1)
            assert strange.counts.frames_in < questions
            sending.cancel()


async def test_a_flood_of_refused_records_ends_the_link(tmp_path: Path) -> None:
    """Each record is well formed and signed, and claims a label of another owner, so refusing it costs work."""
    async with running(tmp_path / "a") as a:
        await give(a, claim("garden", ALICE, NOW - 10))
        refused = [claim("garden", BOB, NOW - 5, n=number) for number in range(FLOOD_FRAME_RECORDS)]
        async with linked(a) as peer:
            for seq in range(1, FLOOD_FRAMES + 1):
                await peer.give(*refused, seq=seq)

            assert await peer.goodbye() == ("rate_limited", 1013)


async def test_a_flood_of_pings_ends_the_link(tmp_path: Path) -> None:
    """Each costs an answer, and a link that has pings to answer would never leave the loop."""
    async with running(tmp_path / "a") as a, linked(a) as peer:
        with suppress(ConnectionClosed):  # the node may be quicker
            for _ in range(CONTROL_FRAMES_PER_MINUTE_MAX + 1):
                _ = await peer.connection.ping()

        assert await peer.goodbye() == ("rate_limited", 1013)


async def test_announcements_of_records_that_nobody_has_end_no_link(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as a, linked(a) as peer:
        for number in range(ANNOUNCEMENTS):
            await peer.say(Have(tuple(f"{number:032x}{other:032x}" for other in range(IDS_MAX)), 1))
        await peer.give(claim("garden", at=NOW))

        assert await peer.hear(Ack) == Ack(1)


REFUSED = {
    "no subprotocol": {"subprotocols": None},
    "another subprotocol": {"subprotocols": ["dnarc.v2"]},
}


@pytest.mark.parametrize("options", REFUSED.values(), ids=REFUSED.keys())
async def test_a_websocket_without_our_subprotocol_is_refused(tmp_path: Path, options: dict[str, object]) -> None:
    async with running(tmp_path / "a") as a:
        with pytest.raises(InvalidStatus) as refused:
            async with dialled(a, **options):
                raise AssertionError("a link was opened")

    assert refused.value.response.status_code == 400


async def test_a_link_past_the_limit_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "a", links_max=2) as a:
        async with linked(a, ALICE), linked(a, BOB):
            with pytest.raises(InvalidStatus) as refused:
                async with dialled(a):
                    raise AssertionError("a link past the limit was opened")
        await until(lambda: not links(a), a)
        async with linked(a, CAROL):
            pass

    assert refused.value.response.status_code == 503


async def test_a_handshake_past_the_limit_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "a", handshakes_max=1) as a, linked(a, ALICE), dialled(a):
        with pytest.raises(InvalidStatus) as refused:
            async with dialled(a):
                raise AssertionError("a link past the limit was opened")

    assert refused.value.response.status_code == 503


async def test_the_pause_of_a_stranger_is_no_work(tmp_path: Path) -> None:
    """The pause of its link once counted as work, so each pause made the next one longer, without end."""
    async with running(tmp_path / "a", loopback_trusted=False) as a, linked(a) as peer:
        share, now_s = a.settings.strangers_share_max, asyncio.get_running_loop().time()
        assert share is not None
        a.crowd.spend("127.0.0.1", share * (STRANGERS_BURST_S + PAUSE_S), now_s)

        await peer.say(Reconcile(DOMAIN, EMPTY_LISTS), Have(("0" * 64,)))

        assert await peer.hear(Want) == Want(("0" * 64,))
        assert asyncio.get_running_loop().time() >= now_s + PAUSE_S * 0.9

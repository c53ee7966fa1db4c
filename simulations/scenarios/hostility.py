"""Scenarios of attacks: by clients, over links, and by listed peers."""

import asyncio

from protocol.link.messages import Domains, Have, Reconcile, Since, Summary, Want
from protocol.records.record import SignedRecord
from simulations.cast.impostor import linked
from simulations.cast.user import DOMAIN
from simulations.cluster import Cluster
from simulations.scenarios.outages import claim_many, records_behind
from simulations.scenarios.registry import Scenario

LOSERS = 6_000
LOSERS_PER_FRAME = 200

PROMISES = 15
IDS_PER_PROMISE = 200

STRANGERS = 300

DUPLICATES = 10
SENDERS = 8


async def _bad_signatures(cluster: Cluster) -> None:
    a, b = await cluster.add_line("a", "b")
    mallory = cluster.user("mallory")
    await a.trust(mallory.key.public)
    record, other = (mallory.sign("plot", int(mallory.clock.now_s()) + number) for number in range(2))

    async with linked(mallory, a) as link:
        await link.send_records([SignedRecord(other.signature, record.record)])
        reason = await link.close_reason(10)

    is_told = reason is not None and reason.startswith("bad_signature")
    cluster.expect(is_told, f"the node closes the link with the reason: {reason}")
    cluster.expect(len(a.running.indexes) == len(b.running.indexes) == 0, "no record was committed")
    cluster.expect(cluster.is_linked("a", "b"), "the other nodes stay linked")


async def _flood_of_losers(cluster: Cluster) -> None:
    """A stranger's link sends valid records that lose, as fast as it can."""
    a, b = await cluster.add_line("a", "b")
    alice, mallory = cluster.user("alice"), cluster.user("mallory")
    await alice.claim(a, "lighthouse")
    now = int(mallory.clock.now_s())

    async with linked(mallory, a) as link:
        for begin in range(0, LOSERS, LOSERS_PER_FRAME):
            numbers = range(begin, begin + LOSERS_PER_FRAME)
            await link.send_records([mallory.sign("lighthouse", now, n=number) for number in numbers])
        reason = await link.close_reason(30)
    after = await alice.claim(b, "lighthouse")

    is_told = reason is not None and reason.startswith("rate_limited")
    cluster.expect(is_told, f"the node closes the link with the reason: {reason}")
    cluster.expect(after.is_acknowledged, "the owner of the label can still write")
    await cluster.settle()
    cluster.expect(records_behind(b, a) == 0, "both nodes hold the same records")


async def _nonsense(cluster: Cluster) -> None:
    """Text that is no frame, each on a link of its own: the node closes each link with a code, and goes on."""
    a, _ = await cluster.add_line("a", "b")
    mallory = cluster.user("mallory")
    await a.trust(mallory.key.public)
    texts = {
        "{": "malformed",
        "[]": "malformed",
        '{"type":"records","seq":7,"records":[]}': "malformed",
        '{"type":"since","domain":"..","timestamp":1}': "malformed",
        '{"type":"ack","seq":9007199254740993}': "malformed",
        '{"type":"hello","version":1}': "malformed",
        '{"type":"reconcile","domain":"example.org","message":"!"}': "malformed",
        "[" * 100_000: "malformed",
        '"' + "x" * 2_000_000 + '"': "too_large",
    }
    for text, code in texts.items():
        async with linked(mallory, a) as link:
            await link.send_text(text)
            reason = await link.close_reason(10)
        is_told = reason is not None and reason.startswith(code)
        cluster.expect(is_told, f"{text[:40]!r} ends the link with {code}: {reason}")
    async with linked(mallory, a) as link:
        await link.send_text('{"type":"of a later version","field":1}')
        cluster.expect(await link.close_reason(2) is None, "a type of a later version is ignored")
    cluster.expect(cluster.is_linked("a", "b"), "the other nodes stay linked")


async def _lying_fingerprints(cluster: Cluster) -> None:
    """A listed peer claims to hold many records, never sends them, and answers comparisons with arbitrary bytes."""
    a, b = await cluster.add_line("a", "b")
    mallory, alice = cluster.user("mallory"), cluster.user("alice")
    await a.trust(mallory.key.public)
    await claim_many(alice, a, 30)

    for number in range(10):
        async with linked(mallory, a) as link:
            summary = Summary(count=1_000 + number, fingerprint="ab" * 16, newest=int(mallory.clock.now_s()))
            await link.send(Domains({DOMAIN: summary, "nowhere": summary}))
            await link.send(Since(DOMAIN, 0))
            for message in (b"", b"a", b"aa", b"\x61\xff\xff\xff\xff"):
                await link.send(Reconcile(DOMAIN, message))
            await link.close_reason(3)

    reply = await alice.claim(b, "afterwards")
    cluster.expect(reply.is_acknowledged, "the nodes still take records")
    await cluster.settle()
    cluster.expect(a.running.health() == [], "the node is healthy")


async def _empty_promises(cluster: Cluster) -> None:
    """A link announces records that do not exist, and asks for them without end."""
    a, b = await cluster.add_line("a", "b")
    mallory, alice = cluster.user("mallory"), cluster.user("alice")
    await a.trust(mallory.key.public)
    await claim_many(alice, a, 20)

    async with linked(mallory, a) as link:
        for _ in range(PROMISES):
            ids = tuple(mallory.stream.randbytes(32).hex() for _ in range(IDS_PER_PROMISE))
            await link.send(Have(ids, 1))
            await link.send(Want(ids, eager=False))
        await asyncio.sleep(30)
    reply = await alice.claim(a, "afterwards")

    cluster.expect(reply.is_acknowledged, "the node still takes records")
    await cluster.settle()
    cluster.expect(records_behind(b, a) == 0, "its peer gets all records")


async def _silent_strangers(cluster: Cluster) -> None:
    """Many connections that send half a request and then nothing (slow loris)."""
    a, b = await cluster.add_line("a", "b")
    mallory, alice = cluster.user("mallory"), cluster.user("alice")
    loop = cluster.simulation.loop
    ends = []
    with mallory.host.here():
        for _ in range(STRANGERS):
            end, _protocol = await loop.create_connection(asyncio.Protocol, a.host.address, a.settings.port)
            end.write(b"GET /claims HTTP/1.1\r\nHo")
            ends.append(end)

    replies = [await alice.claim(a, f"plot-{number}") for number in range(5)]
    await cluster.settle()
    await asyncio.sleep(300)
    for end in ends:
        end.abort()

    cluster.expect(all(reply.is_acknowledged for reply in replies), "clients are served meanwhile")
    cluster.expect(records_behind(b, a) == 0, "links still carry records")


async def _storm_of_duplicates(cluster: Cluster) -> None:
    """Many users send the same records to every node at once: each node commits each record once."""
    machines = await cluster.add_line("a", "b", "c")
    alice = cluster.user("alice")
    now = int(alice.clock.now_s())
    records = [alice.sign(f"plot-{number}", now) for number in range(DUPLICATES)]

    await asyncio.gather(
        *(
            cluster.user(f"user-{number}").put(machine, record)
            for number in range(SENDERS)
            for machine in machines
            for record in records
        )
    )

    await cluster.settle()
    for machine in machines:
        count = len(machine.disk.records())
        cluster.expect(count == DUPLICATES, f"{machine.name} holds each record once: {count}")
        events = machine.disk.count_events("accepted")
        cluster.expect(events == DUPLICATES, f"{machine.name} has one event for each record")


SCENARIOS = (
    Scenario(
        "bad-signatures", "A node closes the link of a peer that sends a bad signature, and says why.", _bad_signatures
    ),
    Scenario(
        "flood-of-losers",
        "A node closes the link of a stranger that floods it with losing records, and says why.",
        _flood_of_losers,
    ),
    Scenario("nonsense", "Text that is no frame closes its own link with a code, and no other link.", _nonsense),
    Scenario(
        "lying-fingerprints", "A peer that lies about its records only wastes a little time.", _lying_fingerprints
    ),
    Scenario("empty-promises", "A peer that announces records that do not exist delays nobody.", _empty_promises),
    Scenario("silent-strangers", "Connections that send nothing keep nobody else out.", _silent_strangers),
    Scenario(
        "storm-of-duplicates", "Many users send the same records at once: each is committed once.", _storm_of_duplicates
    ),
)

"""What is done on purpose: by clients, by links, by listed peers."""

import asyncio

from protocol.link.messages import Domains, Have, Reconcile, Since, Summary, Want
from protocol.records.record import SignedRecord
from simulations.cast.impostor import linked
from simulations.cast.user import DOMAIN
from simulations.cluster import Cluster
from simulations.scenarios.outages import fill, lacks
from simulations.scenarios.registry import Scenario


async def _bad_signatures(cluster: Cluster) -> None:
    a, b = await cluster.add_line("a", "b")
    mallory = cluster.user("mallory")
    await a.trust(mallory.key.public)
    record, other = (mallory.sign("plot", int(mallory.clock.now_s()) + number) for number in range(2))

    async with linked(mallory, a) as link:
        await link.send_records([SignedRecord(other.signature, record.record)])
        reason = await link.close_reason(10)

    cluster.expect(reason is not None and reason.startswith("bad_signature"), f"it is cut off, and told why: {reason}")
    cluster.expect(len(a.running.indexes) == len(b.running.indexes) == 0, "nothing of it was taken")
    cluster.expect(cluster.is_linked("a", "b"), "the others stay linked")


async def _flood_of_losers(cluster: Cluster) -> None:
    """A stranger's link that brings valid records nobody wants, as fast as it can."""
    a, b = await cluster.add_line("a", "b")
    alice, mallory = cluster.user("alice"), cluster.user("mallory")
    await alice.claim(a, "lighthouse")
    now = int(mallory.clock.now_s())

    async with linked(mallory, a) as link:
        for begin in range(0, 6_000, 200):
            await link.send_records([mallory.sign("lighthouse", now, n=number) for number in range(begin, begin + 200)])
        reason = await link.close_reason(30)
    after = await alice.claim(b, "lighthouse")

    cluster.expect(reason is not None and reason.startswith("rate_limited"), f"it is cut off, and told why: {reason}")
    cluster.expect(after.is_acknowledged, "whoever owns the label goes on as if nothing had been")
    await cluster.settle()
    cluster.expect(lacks(b, a) == 0, "and the nodes are in step")


async def _nonsense(cluster: Cluster) -> None:
    """Frames that are none, one link each: every one of them is closed with a code, and the node goes on."""
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
        said = reason is not None and reason.startswith(code)
        cluster.expect(said, f"{text[:40]!r} ends the link with {code}: {reason}")
    async with linked(mallory, a) as link:
        await link.send_text('{"type":"of a later version","field":1}')
        cluster.expect(await link.close_reason(2) is None, "a type of a later version is ignored")
    cluster.expect(cluster.is_linked("a", "b"), "the others stay linked")


async def _lying_fingerprints(cluster: Cluster) -> None:
    """A listed peer that says that it holds much, never gives it, and answers a comparison with anything."""
    a, b = await cluster.add_line("a", "b")
    mallory, alice = cluster.user("mallory"), cluster.user("alice")
    await a.trust(mallory.key.public)
    await fill(alice, a, 30)

    for number in range(10):
        async with linked(mallory, a) as link:
            summary = Summary(count=1_000 + number, fingerprint="ab" * 16, newest=int(mallory.clock.now_s()))
            await link.send(Domains({DOMAIN: summary, "nowhere": summary}))
            await link.send(Since(DOMAIN, 0))
            for message in (b"", b"a", b"aa", b"\x61\xff\xff\xff\xff"):
                await link.send(Reconcile(DOMAIN, message))
            await link.close_reason(3)

    reply = await alice.claim(b, "afterwards")
    cluster.expect(reply.is_acknowledged, "the nodes go on")
    await cluster.settle()
    cluster.expect(a.running.health() == [], "and are well")


async def _empty_promises(cluster: Cluster) -> None:
    """A link that tells of records that do not exist, and asks for others without end."""
    a, b = await cluster.add_line("a", "b")
    mallory, alice = cluster.user("mallory"), cluster.user("alice")
    await a.trust(mallory.key.public)
    await fill(alice, a, 20)

    async with linked(mallory, a) as link:
        for _ in range(15):
            ids = tuple(mallory.stream.randbytes(32).hex() for _ in range(200))
            await link.send(Have(ids, 1))
            await link.send(Want(ids, eager=False))
        await asyncio.sleep(30)
    reply = await alice.claim(a, "afterwards")

    cluster.expect(reply.is_acknowledged, "the node goes on")
    await cluster.settle()
    cluster.expect(lacks(b, a) == 0, "and the others get what there is")


async def _silent_strangers(cluster: Cluster) -> None:
    """Connections that say nothing, as many as a stranger can open (slow loris)."""
    a, b = await cluster.add_line("a", "b")
    mallory, alice = cluster.user("mallory"), cluster.user("alice")
    loop = cluster.simulation.loop
    ends = []
    with mallory.host.here():
        for _ in range(300):
            end, _protocol = await loop.create_connection(asyncio.Protocol, a.host.address, a.settings.port)
            end.write(b"GET /claims HTTP/1.1\r\nHo")
            ends.append(end)

    replies = [await alice.claim(a, f"plot-{number}") for number in range(5)]
    await cluster.settle()
    await asyncio.sleep(300)
    for end in ends:
        end.abort()

    cluster.expect(all(reply.is_acknowledged for reply in replies), "others are served meanwhile")
    cluster.expect(lacks(b, a) == 0, "and links go on")


async def _storm_of_duplicates(cluster: Cluster) -> None:
    """The same records, from many users at once, to every node: each is taken once."""
    machines = await cluster.add_line("a", "b", "c")
    alice = cluster.user("alice")
    now = int(alice.clock.now_s())
    records = [alice.sign(f"plot-{number}", now) for number in range(10)]

    await asyncio.gather(
        *(
            cluster.user(f"user-{number}").put(machine, record)
            for number in range(8)
            for machine in machines
            for record in records
        )
    )

    await cluster.settle()
    for machine in machines:
        count = len(machine.disk.records())
        cluster.expect(count == 10, f"{machine.name} holds each once: {count}")
        cluster.expect(machine.disk.count_events("accepted") == 10, f"{machine.name} tells of each once")


SCENARIOS = (
    Scenario("bad-signatures", "A listed peer that sends a bad signature is cut off with the reason.", _bad_signatures),
    Scenario("flood-of-losers", "A stranger that floods refused records is cut off with the reason.", _flood_of_losers),
    Scenario("nonsense", "Whatever is no frame closes its link with a code, and nothing else.", _nonsense),
    Scenario("lying-fingerprints", "A peer that lies about what it holds wastes a little time.", _lying_fingerprints),
    Scenario("empty-promises", "A peer that tells of what does not exist holds nobody up.", _empty_promises),
    Scenario("silent-strangers", "Connections that say nothing keep nobody else out.", _silent_strangers),
    Scenario("storm-of-duplicates", "The same records from everywhere at once are taken once.", _storm_of_duplicates),
)

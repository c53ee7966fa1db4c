"""Scenarios of witnessed domains: races that end, thefts that fail, and what it takes to break a promise."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import combinations

from protocol.records.record import Record, SignedRecord
from protocol.witness.label import WitnessedLabel
from simulations.cast.council import Council
from simulations.cast.machine import Machine
from simulations.cast.user import Reply, User
from simulations.cluster import Cluster
from simulations.scenarios.registry import Scenario
from simulations.swarm.council_workload import collude

LABEL = "lighthouse"
WAIT_S = 15
"""Seconds that a client waits for the end of a race."""

SOON_S = 10.0
"""Seconds within which a race ends in fair weather."""

CAUGHT_UP_S = 60.0
"""Seconds within which a node that lost its power has links again, and what it lacks."""

DAY_S = 86_400


async def convene(
    cluster: Cluster, faulty: int, *names: str, apart: Sequence[str] = (), liars: Sequence[str] = ()
) -> list[Machine]:
    """Machines that witness a domain, each linked with each, whose policy is known. `apart`: not linked yet. `liars`:
    further witnesses, without machines.
    """
    council = cluster.convene(names, faulty, liars)
    machines = [await cluster.add(name, sync_interval=60.0 if name in apart else 10.0) for name in names]
    for one, other in combinations([machine for machine in machines if machine.name not in apart], 2):
        await cluster.link(one, other)
    await cluster.wait_for_links()
    founder = cluster.user("founder")
    await founder.put(machines[0], council.policy_record(founder))
    return machines


def council_of(cluster: Cluster) -> Council:
    assert cluster.council is not None, "these scenarios have a council"
    return cluster.council


def label_on(cluster: Cluster, machine: Machine, label: str = LABEL) -> WitnessedLabel | None:
    """The label as this node has it."""
    return machine.disk.walked(council_of(cluster).domain).label(label)


def finals(cluster: Cluster, label: str = LABEL) -> list[str | None]:
    """The id of the last final record on each node that is up."""
    found = []
    for machine in cluster.machines.values():
        if machine.node is not None:
            it = label_on(cluster, machine, label)
            found.append(it.chain[it.final - 1].id if it is not None and it.final else None)
    return found


async def until_final(cluster: Cluster, record: Record, within_s: float = SOON_S) -> float:
    """Wait until this record is final on all nodes that are up. Returns how long it took, in seconds."""
    words = f"{record.id[:8]} is final everywhere"
    return await cluster.wait_until(lambda: set(finals(cluster, record.label)) == {record.id}, words, within_s)


def sign_claim(cluster: Cluster, user: User, prev: Record | None = None, **fields: object) -> SignedRecord:
    more = {} if prev is None else {"prev": prev.id}
    return user.sign(LABEL, int(user.clock.now_s()), domain=council_of(cluster).domain, **more, **fields)


async def establish(cluster: Cluster, user: User, machine: Machine) -> Record:
    """Let this user found the label, and wait until that is final everywhere."""
    claim = sign_claim(cluster, user)
    await user.put(machine, claim)
    await until_final(cluster, claim.record)
    return claim.record


def verdict_on(cluster: Cluster, machine: Machine, record: Record) -> str:
    it = label_on(cluster, machine)
    return "" if it is None or record.id not in it else str(it.verdict(record.id))


async def _race(cluster: Cluster, *, names: str, faulty: int) -> None:
    """Three users found one label at once, each at another machine, and wait."""
    machines = await convene(cluster, faulty, *names)
    users = [cluster.user(name) for name in ("alice", "bob", "carol")]
    claims = [sign_claim(cluster, user) for user in users]
    loop = cluster.simulation.loop
    begin_s = loop.time()

    replies = await asyncio.gather(
        *(
            user.put_and_wait(machines[number % len(machines)], claim, WAIT_S)
            for number, (user, claim) in enumerate(zip(users, claims, strict=True))
        )
    )

    took_s = loop.time() - begin_s
    cluster.expect(sorted(_told(reply) for reply in replies) == ["final", "lost", "lost"], f"one wins: {replies}")
    winner = next(claim.record for claim, reply in zip(claims, replies, strict=True) if _told(reply) == "final")
    named = {_winner(reply) for reply in replies if _told(reply) == "lost"}
    cluster.expect(named == {winner.id}, "the losers are told who won")
    cluster.expect(took_s < SOON_S, f"the race ended within {took_s:.1f} s")
    await until_final(cluster, winner)


def _told(reply: Reply) -> str:
    return "lost" if reply.code in ("stale", "not_owner") else str(reply.facts.get("certainty"))


def _winner(reply: Reply) -> object:
    """The record that won, as a loser is told. Who comes after the end of the race is told the head."""
    return reply.facts["winner"] if reply.code == "stale" else reply.facts["head"]["id"]


async def _backdating(cluster: Cluster) -> None:
    """The same lie in an ordinary domain and in a witnessed one."""
    a, b, _ = await convene(cluster, 0, "a", "b", "c")
    alice, mallory = cluster.user("alice"), cluster.user("mallory")
    await establish(cluster, alice, a)
    await alice.claim(a, LABEL)
    await cluster.settle()
    await b.trust(mallory.key.public)
    long_ago = int(mallory.clock.now_s()) - DAY_S

    ordinary = await mallory.put(b, mallory.sign(LABEL, long_ago), as_peer=True)
    theft = mallory.sign(LABEL, long_ago, domain=council_of(cluster).domain)
    witnessed = await mallory.put(b, theft, as_peer=True)

    cluster.expect(ordinary.verdict == "founded", "in an ordinary domain a listed peer that backdates takes the label")
    cluster.expect(witnessed.verdict == "rival", f"in a witnessed domain it does not: {witnessed.verdict}")
    await cluster.settle()
    for machine in cluster.machines.values():
        head = await alice.head(machine, LABEL, council_of(cluster).domain)
        cluster.expect(head is not None and head["signedby"] == alice.key.public, f"alice owns it on {machine.name}")


async def _collude(cluster: Cluster, thieves: Sequence[str], via: Machine) -> Record:
    """Steal the keys of these witnesses, use them against the label, and wait until every node knows of it."""
    theft = await collude(cluster, thieves, via, LABEL)
    await asyncio.sleep(60)
    await cluster.settle()
    return theft


def _forkers(cluster: Cluster, machine: Machine) -> set[str]:
    """The names of the witnesses whose forks this node can show."""
    council = council_of(cluster)
    domain = machine.disk.walked(council.domain)
    assert domain.testimony is not None, "the policy is known"
    return {name for name, key in council.keys.items() if domain.testimony.is_forked(key.public)}


async def _too_few_collude(cluster: Cluster) -> None:
    a, b, _, _ = await convene(cluster, 1, "a", "b", "c", "d")
    established = await establish(cluster, cluster.user("alice"), a)

    theft = await _collude(cluster, ["c", "d"], b)

    cluster.expect(set(finals(cluster)) == {established.id}, "the label stays alice's, and final, on every node")
    cluster.expect(verdict_on(cluster, a, theft) == "rival", "the theft is a rival that lost")
    cluster.expect(_forkers(cluster, a) == {"c", "d"}, "and every node can prove who lied")


async def _enough_collude(cluster: Cluster) -> None:
    """What is not promised: a quorum of witnesses can do everything."""
    a, b, _, _ = await convene(cluster, 1, "a", "b", "c", "d")
    await establish(cluster, cluster.user("alice"), a)

    theft = await _collude(cluster, ["b", "c", "d"], b)

    cluster.expect(set(finals(cluster)) == {theft.id}, "a quorum that colludes takes the label")
    cluster.expect(_forkers(cluster, a) == {"b", "c", "d"}, "every node can prove who lied")
    label = label_on(cluster, a)
    cluster.expect(label is not None and label.doubly_decided == [None], "and shows that two records are decided")


async def _restored(cluster: Cluster) -> None:
    a, _, _, d = await convene(cluster, 1, "a", "b", "c", "d")
    alice = cluster.user("alice")
    founded = await establish(cluster, alice, a)
    backup = cluster.backup(d)
    await alice.put(d, update := sign_claim(cluster, alice, founded, n=2))
    await until_final(cluster, update.record)

    await d.power_cut()
    cluster.restore(d, backup)
    await d.start()
    await cluster.wait_until(lambda: _speaks(d), "the restored witness speaks", CAUGHT_UP_S)
    cluster.expect(_forkers(cluster, a) == set(), "a witness whose file survived learns what it said, and goes on")

    await alice.put(a, later := sign_claim(cluster, alice, update.record, n=3))
    await until_final(cluster, later.record)
    await d.power_cut()
    cluster.restore(d, backup)
    cluster.lose_newest_receipt(d)
    await d.start()
    await alice.put(a, last := sign_claim(cluster, alice, later.record, n=4))
    await until_final(cluster, last.record, CAUGHT_UP_S)
    await asyncio.sleep(3_600)
    cluster.expect(not _speaks(d), "a witness whose file is gone is silent, and the others decide without it")

    await d.stop()
    cluster.begin_witness(d, _newest_of(cluster, a, "d"))
    await d.start()
    await cluster.wait_until(lambda: _speaks(d), "the operator names its last receipt, and it speaks", CAUGHT_UP_S)
    await alice.put(d, end := sign_claim(cluster, alice, last.record, n=5))
    await until_final(cluster, end.record)
    cluster.expect(_forkers(cluster, a) == set(), "nobody ever lied")


def _speaks(machine: Machine) -> bool:
    return machine.node is not None and all(own.silence is None for own in machine.node.witnessing)


def _newest_of(cluster: Cluster, machine: Machine, name: str) -> str:
    """The id of the newest receipt of a witness, as this node has it."""
    key = council_of(cluster).keys[name].public
    receipts = [it.record for it in machine.disk.records() if it.record.label == f"@seen/{key}"]
    followed = {record.prev for record in receipts}
    (newest,) = (record.id for record in receipts if record.id not in followed)
    return newest


async def _late(cluster: Cluster) -> None:
    """The witness d asks for news once a minute, by plain HTTP, and brings its own then."""
    a, b, c, d = await convene(cluster, 1, "a", "b", "c", "d", apart="d")
    await cluster.link(d, a, scheme="http")
    alice, bob = cluster.user("alice"), cluster.user("bob")
    await cluster.settle()
    claims = [sign_claim(cluster, user) for user in (alice, bob)]
    await asyncio.gather(alice.put(a, claims[0]), bob.put(b, claims[1]))

    def decided(*machines: Machine) -> set[str | None]:
        return {
            it.chain[it.final - 1].id if (it := label_on(cluster, each)) and it.final else None for each in machines
        }

    took_s = await cluster.wait_until(
        lambda: decided(a, b, c) in [{it.record.id} for it in claims], "three decide", SOON_S
    )
    cluster.expect(took_s < SOON_S, f"three witnesses do not wait for the late one: {took_s:.1f} s")
    await c.stop()
    (winner_id,) = decided(a, b)
    winner = next(claim.record for claim in claims if claim.record.id == winner_id)
    owner = alice if winner.signedby == alice.key.public else bob
    rivals = [sign_claim(cluster, owner, winner, n=number) for number in range(2)]
    await asyncio.gather(owner.put(a, rivals[0]), owner.put(b, rivals[1]))

    words = "two witnesses and the late one decide"
    late_s = await cluster.wait_until(lambda: finals(cluster)[0] in {each.record.id for each in rivals}, words, 1_800)
    cluster.expect(late_s > SOON_S, f"with one witness down, the late one is waited for: {late_s:.0f} s")
    await c.start()


async def _full_nodes(cluster: Cluster) -> None:
    """Each side of a partition admits as many foundings as it may, and no founding is on both."""
    a, b, c, _ = await convene(cluster, 1, "a", "b", "c", "d")
    await cluster.settle()
    cluster.partition([a, b])
    for number in range(17):
        for machine, side in ((a, "left"), (c, "right")):
            user = cluster.user(f"{side}-{number}")
            reply = await user.put(machine, sign_claim(cluster, user))
            is_right = reply.is_acknowledged if number < 16 else reply.code == "rate_limited"
            cluster.expect(is_right, f"16 foundings are taken, and no more: {number}, {reply}")
    await asyncio.sleep(60)
    cluster.expect(set(finals(cluster)) == {None}, "neither side can decide")
    cluster.heal()

    words = "one of 32 rivals is final everywhere"
    await cluster.wait_until(lambda: len(set(finals(cluster))) == 1 and None not in finals(cluster), words, 120)


async def _too_few_speak(cluster: Cluster) -> None:
    a, b, c, d = await convene(cluster, 1, "a", "b", "c", "d")
    alice = cluster.user("alice")
    founded = await establish(cluster, alice, a)
    await d.stop()
    await alice.put(b, second := sign_claim(cluster, alice, founded, n=2))
    await until_final(cluster, second.record)
    cluster.expect(True, "with one of four witnesses down, the others decide")

    await c.stop()
    reply = await alice.put_and_wait(a, third := sign_claim(cluster, alice, second.record, n=3), WAIT_S)
    cluster.expect(reply.facts.get("certainty") in ("pending", "ordered"), f"with two down nothing is decided: {reply}")
    await asyncio.sleep(3_600)
    head = await alice.head(b, LABEL, council_of(cluster).domain)
    cluster.expect(head is not None, "and reading goes on")
    cluster.expect(set(finals(cluster)) == {second.record.id}, "what was final is final")

    await c.start()
    took_s = await until_final(cluster, third.record, 120)
    cluster.expect(True, f"a witness that comes back ends what waited, within {took_s:.0f} s")
    await d.start()
    await until_final(cluster, third.record, 60)


async def _parted_witnesses(cluster: Cluster) -> None:
    a, b, c, _ = await convene(cluster, 1, "a", "b", "c", "d")
    await cluster.settle()
    cluster.partition([a, b])
    alice, bob = cluster.user("alice"), cluster.user("bob")
    claims = [sign_claim(cluster, alice), sign_claim(cluster, bob)]
    await asyncio.gather(alice.put(a, claims[0]), bob.put(c, claims[1]))
    await asyncio.sleep(600)
    cluster.expect(set(finals(cluster)) == {None}, "while the witnesses are parted, neither side decides")
    cluster.heal()

    words = "one of the two is final everywhere"
    took_s = await cluster.wait_until(
        lambda: len(set(finals(cluster)) - {None}) == 1 == len(set(finals(cluster))), words
    )
    cluster.expect(took_s < 120, f"after the partition the race ends within {took_s:.0f} s")


async def _late_acceptance(cluster: Cluster) -> None:
    """Bob accepts an offer that alice withdrew: as a client, and then as a listed peer."""
    a, b, _ = await convene(cluster, 0, "a", "b", "c")
    alice, bob = cluster.user("alice"), cluster.user("bob")
    founded = await establish(cluster, alice, a)
    await alice.put(a, offer := sign_claim(cluster, alice, founded, newowner=bob.key.public))
    await until_final(cluster, offer.record)
    await alice.put(a, withdrawal := sign_claim(cluster, alice, offer.record))
    await until_final(cluster, withdrawal.record)

    late = sign_claim(cluster, bob, offer.record)
    as_client = await bob.put(b, late)
    cluster.expect(as_client.code in ("stale", "not_owner"), f"a client is refused: {as_client}")
    await b.trust(bob.key.public)
    as_peer = await bob.put(b, late, as_peer=True)

    cluster.expect(as_peer.verdict == "stale", f"a listed peer's acceptance is stored, and comes too late: {as_peer}")
    await asyncio.sleep(30)
    cluster.expect(set(finals(cluster)) == {withdrawal.record.id}, "alice owns the label on every node")


async def _two_devices(cluster: Cluster) -> None:
    a, _, _, d = await convene(cluster, 1, "a", "b", "c", "d")
    alice = cluster.user("alice")
    founded = await establish(cluster, alice, a)
    updates = [sign_claim(cluster, alice, founded, device=name) for name in ("telephone", "desk")]

    replies = await asyncio.gather(
        *(alice.put_and_wait(machine, it, WAIT_S) for machine, it in zip((a, d), updates, strict=True))
    )

    cluster.expect(sorted(map(_told, replies)) == ["final", "lost"], f"one of two updates is final: {replies}")
    won = next(it.record for it, reply in zip(updates, replies, strict=True) if _told(reply) == "final")
    await alice.put(d, again := sign_claim(cluster, alice, won, device="desk"))
    took_s = await until_final(cluster, again.record)
    cluster.expect(took_s < SOON_S, "the other device goes on from the record that won")


async def _clock_put_back(cluster: Cluster) -> None:
    """The clock of the only witness is three minutes ahead, and put right between two claims."""
    (a,) = await convene(cluster, 0, "a")
    alice = cluster.user("alice")
    a.clock.offset_s = 180.0
    founded = await establish(cluster, alice, a)
    a.clock.offset_s = 0.0

    await alice.put(a, update := sign_claim(cluster, alice, founded))
    took_s = await until_final(cluster, update.record)

    cluster.expect(took_s < SOON_S, f"a witness whose clock was put back speaks within {took_s:.1f} s")


def _count(witnesses: int) -> str:
    return "1 witness" if witnesses == 1 else f"{witnesses} witnesses"


def _races() -> list[Scenario]:
    shapes: list[tuple[str, int, Callable[[Cluster], Awaitable[None]]]] = [
        (names, faulty, partial(_race, names=names, faulty=faulty))
        for names, faulty in (("a", 0), ("abc", 0), ("abcd", 1))
    ]
    return [
        Scenario(
            f"witnessed-race-{len(names)}",
            f"Three users found one label at once, with {_count(len(names))}, of which {faulty} may lie: one wins.",
            run,
        )
        for names, faulty, run in shapes
    ]


SCENARIOS = (
    *_races(),
    Scenario(
        "witnessed-backdating",
        "A listed peer that backdates takes a label of an ordinary domain, and none of a witnessed domain.",
        _backdating,
    ),
    Scenario(
        "too-few-collude",
        "Two of four witnesses collude against an established label: they fail, and everybody can prove it.",
        _too_few_collude,
    ),
    Scenario(
        "quorum-colludes",
        "Three of four witnesses collude, and take the label: this is not promised, and the evidence shows it.",
        _enough_collude,
    ),
    Scenario(
        "restored-witness",
        "A witness that was restored knows what it said before it speaks; without its file it is silent.",
        _restored,
    ),
    Scenario(
        "late-witness", "One witness hears of everything a minute late: the others wait only if they must.", _late
    ),
    Scenario(
        "full-nodes", "Nodes that admitted different rivals, as many as they may, hold the same one final.", _full_nodes
    ),
    Scenario(
        "too-few-witnesses",
        "Without a quorum nothing is decided, reading goes on, and all is caught up later.",
        _too_few_speak,
    ),
    Scenario(
        "parted-witnesses", "A partition through the middle of the witnesses: no side decides.", _parted_witnesses
    ),
    Scenario(
        "late-acceptance", "An offer that was withdrawn cannot be taken up, whatever clock is shown.", _late_acceptance
    ),
    Scenario("clock-put-back", "The clock of a witness is put back by three minutes: races go on.", _clock_put_back),
    Scenario("witnessed-two-devices", "An owner updates on two devices at once: one update is final.", _two_devices),
)

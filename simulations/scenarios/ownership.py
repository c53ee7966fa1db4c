"""Scenarios of ownership: who owns a label after partitions, races, sales, writes on two devices, and lies
about time.
"""

import asyncio

from protocol.records.record import make, sign
from simulations.cast.machine import Machine
from simulations.cast.user import DOMAIN, User
from simulations.cluster import Cluster
from simulations.scenarios.registry import Scenario

LABEL = "lighthouse"


async def owners(cluster: Cluster, label: str = LABEL) -> dict[str, str]:
    """The name of the label's owner according to each machine."""
    names = {user.key.public: name for name, user in cluster.users.items()}
    found = {}
    for machine in cluster.machines.values():
        head = await cluster.user("onlooker").head(machine, label)
        found[machine.name] = names[head["signedby"]] if head else "nobody"
    return found


async def expect_owner(cluster: Cluster, owner: User, label: str = LABEL) -> None:
    """Wait until all nodes agree, and check that this user owns the label everywhere."""
    await cluster.settle()
    found = await owners(cluster, label)
    cluster.expect(set(found.values()) == {owner.name}, f"{label} is {owner.name}'s everywhere, and is {found}")


def reverted_heads(machine: Machine) -> int:
    """How many heads this machine's node has taken back, according to its events."""
    return machine.disk.count_events("reverted")


async def _rival_founders(cluster: Cluster) -> None:
    a, b = await cluster.add_line("a", "b")
    alice, bob = cluster.user("alice"), cluster.user("bob")
    cluster.partition([a])

    await alice.claim(a, LABEL)
    await asyncio.sleep(2)
    await bob.claim(b, LABEL)
    cluster.heal()

    await expect_owner(cluster, alice)
    cluster.expect(
        (reverted_heads(a), reverted_heads(b)) == (0, 1), "only the node that showed the later founder takes it back"
    )


async def _transfer_race(cluster: Cluster) -> None:
    """Two labels: on one the owner's update is older, on the other the buyer's acceptance is older."""
    a, b = await cluster.add_line("a", "b")
    alice, bob = cluster.user("alice"), cluster.user("bob")
    for label in ("update-first", "accept-first"):
        await alice.claim(a, label)
        await alice.offer(a, label, bob)
    await cluster.settle()
    cluster.partition([a])

    await alice.claim(a, "update-first")
    await bob.claim(b, "accept-first")
    await asyncio.sleep(2)
    await bob.claim(b, "update-first")
    await alice.claim(a, "accept-first")
    cluster.heal()

    await expect_owner(cluster, alice, "update-first")
    await expect_owner(cluster, bob, "accept-first")


async def _sold_twice(cluster: Cluster) -> None:
    a, b = await cluster.add_line("a", "b")
    alice, bob, carol = (cluster.user(name) for name in ("alice", "bob", "carol"))
    await alice.claim(a, LABEL)
    await cluster.settle()
    cluster.partition([a])

    await alice.offer(a, LABEL, bob)
    await bob.claim(a, LABEL)
    await asyncio.sleep(3)
    await alice.offer(b, LABEL, carol)
    await carol.claim(b, LABEL)
    cluster.heal()

    await expect_owner(cluster, bob)
    late = await carol.claim(a, LABEL)
    cluster.expect(late.code == "not_owner", "the second buyer's claims are refused from then on")


async def _two_devices(cluster: Cluster) -> None:
    a, b = await cluster.add_line("a", "b")
    alice = cluster.user("alice")
    await alice.claim(a, LABEL, text="first")
    await cluster.settle()
    cluster.partition([a])

    await alice.claim(a, LABEL, text="from the telephone")
    await asyncio.sleep(2)
    await alice.claim(b, LABEL, text="from the desk")
    cluster.heal()

    await cluster.settle()
    head = await alice.head(b, LABEL)
    has_older = head is not None and head["text"] == "from the telephone"
    cluster.expect(has_older, "of two records after the same head, the older one stays")
    again = await alice.claim(b, LABEL, text="from the desk, again")
    cluster.expect(again.verdict == "updated", "the other device can write again when it knows the head")


async def _backdated(cluster: Cluster) -> None:
    a, b = await cluster.add_line("a", "b")
    alice, mallory = cluster.user("alice"), cluster.user("mallory")
    await alice.claim(a, LABEL)
    await cluster.settle()
    backdated = mallory.sign(LABEL, int(mallory.clock.now_s()) - 86_400)

    as_client = await mallory.put(b, backdated)
    cluster.expect(as_client.code == "too_old", "a record that a client backdates is refused")
    await expect_owner(cluster, alice)
    await b.trust(mallory.key.public)
    as_peer = await mallory.put(b, backdated, as_peer=True)

    cluster.expect(as_peer.verdict == "founded", "a listed peer that lies about time is believed (docs/protocol.md)")
    await expect_owner(cluster, mallory)
    cluster.expect((reverted_heads(a), reverted_heads(b)) == (1, 1), "each node takes back the head that it showed")


async def _equivocation(cluster: Cluster) -> None:
    a, b = await cluster.add_line("a", "b")
    mallory = cluster.user("mallory")
    await a.trust(mallory.key.public)
    await b.trust(mallory.key.public)
    cluster.partition([a])
    body = {"domain": DOMAIN, "label": LABEL, "signedby": mallory.key.public, "timestamp": int(mallory.clock.now_s())}

    for machine, side in ((a, "left"), (b, "right")):
        await mallory.put(machine, sign(make({**body, "side": side}), mallory.key), as_peer=True)
    cluster.heal()

    await cluster.settle()
    heads = [await mallory.head(machine, LABEL) for machine in (a, b)]
    cluster.expect(heads[0] == heads[1], "of two records of one second, every node shows the same one as head")


async def _three_sides(cluster: Cluster) -> None:
    machines = await cluster.add_line("a", "b", "c")
    await cluster.link(machines[0], machines[2])
    users = [cluster.user(name) for name in ("alice", "bob", "carol")]
    for machine in machines[:2]:
        cluster.partition([machine])
    for machine, user in zip(machines, users, strict=True):
        await user.claim(machine, LABEL)
        await asyncio.sleep(2)

    for one, other in ((1, 2), (0, 1)):
        for wire in (cluster.wire(machines[one], machines[other]), cluster.wire(machines[other], machines[one])):
            while wire.is_cut:
                wire.heal()
        await asyncio.sleep(60)
    cluster.heal()

    await expect_owner(cluster, users[0])


async def _both_dial(cluster: Cluster) -> None:
    """Which of two links stays depends on the two keys. What a node accepts must not depend on it. So there are four
    pairs of keys.
    """
    alice, bob = cluster.user("alice"), cluster.user("bob")
    pairs = [(await cluster.add(f"a{number}"), await cluster.add(f"b{number}")) for number in range(4)]
    for one, other in pairs:
        await cluster.link(one, other)
        await cluster.link(other, one, pull=False)
    await cluster.wait_for_links()
    cluster.partition([one for one, _ in pairs])

    for one, other in pairs:
        await alice.claim(other, LABEL)
        await asyncio.sleep(2)
        await bob.claim(one, LABEL)
    cluster.heal()

    await expect_owner(cluster, alice)
    await asyncio.sleep(60)
    for one, other in pairs:
        links = sum(len(machine.running.links.by_number) for machine in (one, other))
        cluster.expect(links == 2, f"one link is left between {one.name} and {other.name}")


async def _replayed(cluster: Cluster) -> None:
    """A peer sends every record again and again."""
    a, b = await cluster.add_line("a", "b")
    alice, mallory = cluster.user("alice"), cluster.user("mallory")
    await b.trust(mallory.key.public)
    for number in range(20):
        await alice.claim(a, f"{LABEL}-{number % 4}")
    await cluster.settle()
    commits, events = cluster.checkers.commits, b.disk.count_events("accepted")

    replies = [
        await mallory.put(b, sign(known.record, alice.key), as_peer=True)
        for _ in range(3)
        for known in list(cluster.acknowledgements[:20])
    ]

    cluster.expect({reply.status for reply in replies} == {"known"}, "every record that is sent again is known")
    cluster.expect(commits == cluster.checkers.commits, "no record is committed twice")
    cluster.expect(events == b.disk.count_events("accepted"), "no record has a second event")


SCENARIOS = (
    Scenario(
        "rival-founders",
        "Two users found one label on both sides of a partition: the older record wins on both sides.",
        _rival_founders,
    ),
    Scenario(
        "transfer-race",
        "The owner updates on one side, the buyer accepts on the other: the older record wins.",
        _transfer_race,
    ),
    Scenario(
        "sold-twice",
        "An owner sells to two buyers on two sides: the first sale is valid, the second buyer is refused.",
        _sold_twice,
    ),
    Scenario(
        "two-devices",
        "An owner writes on two devices during a partition: the older record stays, the other is stale.",
        _two_devices,
    ),
    Scenario("backdated", "A backdated founding is refused from a client, and wins from a listed peer.", _backdated),
    Scenario(
        "equivocation", "A signer gives each half of the network a different record: all agree on one.", _equivocation
    ),
    Scenario("three-sides", "Three sides heal one after the other: all agree on the same owner.", _three_sides),
    Scenario(
        "both-dial",
        "Two nodes dial each other with different rows: one link stays, and does what both rows ask for.",
        _both_dial,
    ),
    Scenario("replayed", "A peer that sends every record again changes nothing.", _replayed),
)

"""What users and liars do in the witnessed domain of a plan, over HTTP against real nodes.

Most acts of users may be refused, because another user was faster. What a node must take or refuse is checked.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from protocol.records.record import Record
from simulations.cast.liar import Liar, forge
from simulations.cast.machine import Machine
from simulations.cast.user import User
from simulations.cluster import Cluster
from simulations.swarm.plan import CouncilAct, CouncilAction, Plan
from simulations.swarm.workload import Do, carry_out
from simulations.world.virtual_time import StuckError

POLICY_AGAIN_S: Final = 1.0
"""Seconds between two attempts to make the policy known."""

POLICY_ATTEMPTS_MAX: Final = 300
"""Attempts to make the policy known: in three times as long as any plan lasts."""

OLD_S: Final = 100_000
"""A lie about time, in seconds: more than any admission window that a plan draws."""

WAIT_S: Final = 5

THEFT_ROUNDS: Final = 4
"""Thieves vote and commit in rounds below this."""


async def carry_out_council(cluster: Cluster, plan: Plan) -> None:
    """Make the policy known, then do all acts, each at its time. Returns when all are over."""
    if plan.council is None:
        return
    await _publish_policy(cluster)
    async with asyncio.TaskGroup() as group:
        for act in plan.council.acts:
            group.create_task(carry_out(cluster, act, _DO[act.action]))


async def publish_lost_policy(cluster: Cluster) -> None:
    """Make the policy known again if no node holds it, because the only ones that did were restored from a backup."""
    if cluster.council is None:
        return
    nodes = [machine.node for machine in cluster.machines.values() if machine.node is not None]
    domains = [node.witnessed.get(_domain(cluster)) for node in nodes]
    if all(domain is None or domain.policy is None for domain in domains):
        await _publish_policy(cluster)


def start_liars(cluster: Cluster, plan: Plan) -> "list[asyncio.Task[None]]":
    """Let the liars lie until their tasks are cancelled."""
    council, drawn = cluster.council, plan.council
    if council is None or drawn is None:
        return []
    liars = [
        Liar(
            cluster.user(name, council.keys[name]),
            council.domain,
            kind,
            cluster.machines,
            cluster.checkers.on_violation,
        )
        for name, kind in zip(council.liars, drawn.liars, strict=True)
    ]
    return [asyncio.create_task(liar.lie()) for liar in liars]


async def collude(cluster: Cluster, thieves: Sequence[str], via: Machine, label: str) -> Record:
    """Somebody who has the keys of these witnesses founds a label, and has them decide that it was theirs long ago.

    Everything is said that these keys can say: old dates, votes and commits in every round, on forks.
    """
    council, mallory = cluster.council, cluster.user("mallory")
    assert council is not None, "only a council can collude"
    assert cluster.judges is not None, "a council has judges"
    cluster.judges.on_theft(thieves, is_broken=len(thieves) >= council.quorum)
    await via.trust(mallory.key.public)
    theft = mallory.sign(label, _now(mallory), domain=council.domain)
    rounds = {str(number): [theft.record.id] for number in range(1, THEFT_ROUNDS)}
    old_ms = int((mallory.clock.now_s() - OLD_S) * 1_000)
    for name in thieves:
        said = {"first": {theft.record.id: old_ms}, "vote": rounds, "commit": {"0": [theft.record.id], **rounds}}
        await mallory.put(via, forge(council.keys[name], council.domain, old_ms, **said))
    await mallory.put(via, theft, as_peer=True)
    return theft.record


async def steal(cluster: Cluster, plan: Plan) -> None:
    """After all races are over, one witness fewer than decide collude against every label that is final everywhere."""
    council, drawn, judges = cluster.council, plan.council, cluster.judges
    if council is None or drawn is None or judges is None or not drawn.has_thieves:
        return
    thieves = [*council.liars, *council.seats][: council.quorum - 1]
    via = next(iter(cluster.machines.values()))
    for label in judges.established(cluster.machines):
        await collude(cluster, thieves, via, label)


async def _publish_policy(cluster: Cluster) -> None:
    """Put the policy record at any machine that is up, until a node takes it.

    Raises:
        StuckError: no node took it in `POLICY_ATTEMPTS_MAX` attempts.
    """
    assert cluster.council is not None, "a plan with a council convenes it"
    founder = cluster.user("founder")
    record = cluster.council.policy_record(founder)
    said = "all machines were down"
    for _ in range(POLICY_ATTEMPTS_MAX):
        for machine in cluster.machines.values():
            if machine.node is not None:
                reply = await founder.put(machine, record)
                if reply.is_acknowledged:
                    return
                said = f"{machine.name} answered {reply.code or reply.status}"
        await asyncio.sleep(POLICY_AGAIN_S)
    raise StuckError(f"no node took the policy of the council in {POLICY_ATTEMPTS_MAX} attempts; at last {said}")


async def _claim(cluster: Cluster, act: CouncilAct, user: User, machine: Machine) -> None:
    await user.claim(machine, act.label, domain=_domain(cluster))


async def _offer(cluster: Cluster, act: CouncilAct, user: User, machine: Machine) -> None:
    await user.claim(machine, act.label, domain=_domain(cluster), newowner=cluster.user(act.other).key.public)


async def _wait(cluster: Cluster, act: CouncilAct, user: User, machine: Machine) -> None:
    """What a client is told is final is final in the state of the node."""
    head = await user.head(machine, act.label, _domain(cluster))
    more = {} if head is None else {"prev": head["id"]}
    signed = user.sign(act.label, _now(user), domain=_domain(cluster), moment=round(act.at_s * 1_000), **more)
    reply = await user.put_and_wait(machine, signed, WAIT_S)
    if reply.facts.get("certainty") != "final" or machine.node is None:
        return
    if machine.disk.walked(_domain(cluster)).certainty(signed.record) != "final":
        cluster.checkers.on_violation(act.machine, f"a client is told that {signed.record.id[:8]} is final")


async def _rival(cluster: Cluster, act: CouncilAct, user: User, machine: Machine) -> None:
    await user.put(machine, user.sign(act.label, _now(user), domain=_domain(cluster), moment=round(act.at_s * 1_000)))


async def _two_devices(cluster: Cluster, act: CouncilAct, user: User, machine: Machine) -> None:
    head = await user.head(machine, act.label, _domain(cluster))
    if head is None:
        return
    timestamp = max(_now(user), head["timestamp"] + 1)
    for number, target in enumerate((machine, cluster.machines[act.other])):
        if target.node is not None:
            fields = {"prev": head["id"], "device": number}
            await user.put(target, user.sign(act.label, timestamp, domain=_domain(cluster), **fields))


async def _follow_old(cluster: Cluster, act: CouncilAct, user: User, machine: Machine) -> None:
    """Extend a record of the label that names this user, and that is not the head."""
    past = _records_of(machine, _domain(cluster), act.label)
    mine = [each for each in past if user.key.public in (each.signedby, each.newowner)]
    if mine:
        prev = mine[int(act.at_s * 1_000) % len(mine)]
        await user.put(machine, user.sign(act.label, _now(user), domain=_domain(cluster), prev=prev.id))


async def _usurp(cluster: Cluster, act: CouncilAct, user: User, machine: Machine) -> None:
    head = await user.head(machine, act.label, _domain(cluster))
    if head is None or user.key.public in (head["signedby"], head.get("newowner")):
        return
    timestamp = max(_now(user), head["timestamp"] + 1)
    reply = await user.put(machine, user.sign(act.label, timestamp, domain=_domain(cluster), prev=head["id"]))
    if reply.status == "accepted" and reply.verdict != "not_owner":
        cluster.checkers.on_violation(act.machine, f"{act.user} takes {act.label} by {reply.verdict}")


async def _push_backdated(cluster: Cluster, act: CouncilAct, user: User, machine: Machine) -> None:
    await machine.trust(user.key.public)
    signed = user.sign(act.label, _now(user) - OLD_S - int(act.at_s), domain=_domain(cluster))
    await user.put(machine, signed, as_peer=True)


def _records_of(machine: Machine, domain: str, label: str) -> list[Record]:
    """The records of the label that the machine's disk holds, in a fixed order."""
    records = [signed.record for signed in machine.disk.records()]
    return sorted((each for each in records if (each.domain, each.label) == (domain, label)), key=lambda each: each.id)


def _domain(cluster: Cluster) -> str:
    assert cluster.council is not None, "a plan with a council convenes it"
    return cluster.council.domain


def _now(user: User) -> int:
    return int(user.clock.now_s())


_DO: Final[dict[CouncilAction, Do[CouncilAct]]] = {
    CouncilAction.CLAIM: _claim,
    CouncilAction.OFFER: _offer,
    CouncilAction.WAIT: _wait,
    CouncilAction.RIVAL: _rival,
    CouncilAction.TWO_DEVICES: _two_devices,
    CouncilAction.FOLLOW_OLD: _follow_old,
    CouncilAction.USURP: _usurp,
    CouncilAction.PUSH_BACKDATED: _push_backdated,
}

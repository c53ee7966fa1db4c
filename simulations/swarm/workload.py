"""What users do: each act of a plan, carried out over HTTP against a real node, and what the node must answer.

An honest act may be refused, because another user was faster. If a node accepts a hostile act that it must refuse, that
is a violation. A listed peer that lies about time is believed, as `docs/protocol.md` says. Such acts are played to
check that all nodes still agree on the owner.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from node.intake.decider import strangers_domains_max
from node.settings.settings import Settings
from protocol.records.record import SignedRecord, make, sign
from simulations.cast import mischief
from simulations.cast.machine import Machine
from simulations.cast.user import DOMAIN, Reply, User
from simulations.cluster import Cluster
from simulations.judges.usage import full_quota
from simulations.swarm.plan import Act, Action, CouncilAct

_LATE_PAIRS: Final = 5

_A = TypeVar("_A", Act, CouncilAct)

Do = Callable[[Cluster, _A, User, Machine], Awaitable[None]]
"""What an act is about: done by this user at this machine."""

FAR_S: Final = 100_000
"""A lie about time, in seconds: more than any admission window that a plan draws."""


async def carry_out(cluster: Cluster, act: _A, do: Do[_A]) -> None:
    """Do the act at its time. Does nothing if the machine is down then. `do` does what the act is about."""
    await asyncio.sleep(max(0.0, act.at_s - asyncio.get_running_loop().time()))
    machine = cluster.machines[act.machine]
    if machine.node is not None:
        await do(cluster, act, cluster.user(act.user), machine)


async def _claim(cluster: Cluster, act: Act, user: User, machine: Machine) -> None:
    node, rule = machine.node, refusing_rule(machine.settings, user, act.label)
    quota = full_quota(machine, user.key.public, DOMAIN)
    reply = await user.claim(machine, act.label, moment=round(act.at_s * 1_000))
    if rule is not None and reply.status == "accepted":
        cluster.checkers.on_violation(act.machine, f"a claim of {act.label} by {act.user} passed the rule {rule}")
    if quota is not None and machine.node is node and reply.status == "accepted":
        words = f"a claim of {act.label} by {act.user} was accepted, and the quota by {quota} was used up"
        cluster.checkers.on_violation(act.machine, words)


def refusing_rule(settings: Settings, user: User, label: str) -> str | None:
    """The rule of a node that forbids this user to write to this label, whatever the label's state; None: no rule."""
    rules = settings.write.rules_of(DOMAIN)
    if user.key.public in rules.banned_keys:
        return "banned_keys"
    if rules.writers is not None and user.key.public not in rules.writers:
        return "writers"
    return "banned_labels" if any(label.startswith(each) for each in rules.banned_labels) else None


async def _offer(cluster: Cluster, act: Act, user: User, machine: Machine) -> None:
    await user.offer(machine, act.label, cluster.user(act.other))


async def _replay(cluster: Cluster, act: Act, user: User, machine: Machine) -> None:
    """Send an acknowledged record again. Nothing may change: it is known, too old, or extends no head any more."""
    records = [known.record for known in cluster.acknowledgements if known.record.signedby == user.key.public]
    if records:
        await user.put(machine, sign(records[int(act.at_s * 1000) % len(records)], user.key))


async def _bad_signature(cluster: Cluster, act: Act, user: User, machine: Machine) -> None:
    signed = user.sign(act.label, _now(user))
    other = user.sign(act.label, _now(user) + 1)
    _expect_refusal(cluster, act, await user.put(machine, SignedRecord(other.signature, signed.record)))


async def _backdate(cluster: Cluster, act: Act, user: User, machine: Machine) -> None:
    if machine.settings.max_age is not None:
        _expect_refusal(cluster, act, await user.put(machine, user.sign(act.label, _now(user) - FAR_S)))


async def _postdate(cluster: Cluster, act: Act, user: User, machine: Machine) -> None:
    _expect_refusal(cluster, act, await user.put(machine, user.sign(act.label, _now(user) + FAR_S)))


async def _wrong_prev(cluster: Cluster, act: Act, user: User, machine: Machine) -> None:
    _expect_refusal(cluster, act, await user.put(machine, user.sign(act.label, _now(user), prev=64 * "0")))


async def _usurp(cluster: Cluster, act: Act, user: User, machine: Machine) -> None:
    """Extend a label that this node knows to belong to another user, and that is not offered."""
    head = await user.head(machine, act.label)
    if head is None or user.key.public in (head["signedby"], head.get("newowner")):
        return
    timestamp = max(_now(user), head["timestamp"] + 1)
    reply = await user.put(machine, user.sign(act.label, timestamp, prev=head["id"]))
    if reply.is_acknowledged and not _was_reverted(machine, head["id"]):
        _expect_refusal(cluster, act, reply)


def _was_reverted(machine: Machine, head: str) -> bool:
    """Whether a new head came between the question and the claim. In that case the claim may have been right."""
    records = {signed.record.id: signed.record for signed in machine.disk.records()}
    label = records[head].label if head in records else None
    return any(record.label == label and record.order_key > records[head].order_key for record in records.values())


async def _push_backdated(_: Cluster, act: Act, user: User, machine: Machine) -> None:
    await machine.trust(user.key.public)
    await user.put(machine, user.sign(act.label, _now(user) - FAR_S - int(act.at_s)), as_peer=True)


async def _push_two(cluster: Cluster, act: Act, user: User, machine: Machine) -> None:
    """Push two records of one second, one to each of two nodes that may be cut off from each other."""
    other = cluster.machines[act.other]
    if other.node is None:
        return
    timestamp = _now(user)
    for number, target in enumerate((machine, other)):
        await target.trust(user.key.public)
        body = {"domain": "example.org", "label": act.label, "signedby": user.key.public, "timestamp": timestamp}
        await user.put(target, sign(make({**body, "half": number}), user.key), as_peer=True)


async def _mischief(_: Cluster, act: Act, user: User, machine: Machine) -> None:
    if act.at_s % 2 < 1:
        await machine.trust(user.key.public)
    await mischief.make_mischief(_MISCHIEF[act.action], user, machine, act.label)


async def _send_to_both(cluster: Cluster, act: Act, user: User, machine: Machine) -> None:
    await mischief.send_to_both(user, machine, cluster.machines[act.other], act.label)


async def _late_each_way(cluster: Cluster, act: Act, user: User, machine: Machine) -> None:
    """Send a record to one machine, and at once a slightly older one to another, so that each has to replay."""
    other, label, now = cluster.machines[act.other], f"{act.label}-{act.user}-late", _now(user)
    await user.put(machine, user.sign(label, now - 2))
    for number in range(_LATE_PAIRS):
        newer, older = user.sign(label, now + number, n=number), user.sign(label, now - 1, n=number)
        await asyncio.gather(user.put(machine, newer), user.put(other, older))


async def _found_domains(cluster: Cluster, act: Act, user: User, machine: Machine) -> None:
    """Found domains over a link. Half of the places are not for strangers."""
    node = machine.running
    before, prefix = len(node.indexes.domains()), f"d{int(1_000 * act.at_s)}"
    await mischief.make_mischief(mischief.domains, user, machine, prefix)
    if machine.node is not node:
        return  # it may have forgotten some, and given their places to others
    if user.key.public in machine.trusted:
        return  # the node lists this key as a peer's, so that it is no stranger
    left = max(0, strangers_domains_max(node.settings.domains_max) - before)
    founded = sum(domain.startswith(f"{prefix}-") for domain in node.indexes.domains())
    if founded > left:
        words = f"{act.user}, a stranger, founded {founded} domains, and {left} places were left"
        cluster.checkers.on_violation(act.machine, words)


def _expect_refusal(cluster: Cluster, act: Act, reply: Reply) -> None:
    if reply.status == "accepted":
        cluster.checkers.on_violation(act.machine, f"{act.action} of {act.label} by {act.user} was accepted")


def _now(user: User) -> int:
    return int(user.clock.now_s())


_MISCHIEF: Final[dict[Action, mischief.Mischief]] = {
    Action.LINK_NONSENSE: mischief.nonsense,
    Action.LINK_LIES: mischief.lies,
    Action.LINK_PROMISES: mischief.promises,
    Action.LINK_FORGERIES: mischief.forgeries,
    Action.LINK_LOSERS: mischief.losers,
    Action.LINK_RANGES: mischief.ranges,
    Action.LINK_NAMES: mischief.names,
}

_DO: Final[dict[Action, Do[Act]]] = {
    Action.CLAIM: _claim,
    Action.OFFER: _offer,
    Action.REPLAY: _replay,
    Action.BAD_SIGNATURE: _bad_signature,
    Action.BACKDATE: _backdate,
    Action.POSTDATE: _postdate,
    Action.WRONG_PREV: _wrong_prev,
    Action.USURP: _usurp,
    Action.PUSH_BACKDATED: _push_backdated,
    Action.PUSH_TWO: _push_two,
    Action.LINK_DOMAINS: _found_domains,
    Action.LINK_BOTH: _send_to_both,
    Action.LATE_EACH_WAY: _late_each_way,
    **dict.fromkeys(_MISCHIEF, _mischief),
}


async def carry_out_all(cluster: Cluster, acts: Sequence[Act]) -> None:
    """Do all acts, each at its time. Returns when all are over."""
    async with asyncio.TaskGroup() as group:
        for act in acts:
            group.create_task(carry_out(cluster, act, _DO[act.action]))

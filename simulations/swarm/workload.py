"""What users do: each act of a plan, carried out over HTTP against a real node, and what must come of it.

An honest act may be refused, for somebody else was faster. A hostile one that has to be refused, and is not, is a
fault of the node. What a listed peer may do by lying about time is no fault but said in `docs/protocol.md`: it is done
here so that the nodes agree on who won.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from protocol.records.record import SignedRecord, make, sign
from simulations.cast import mischief
from simulations.cast.machine import Machine
from simulations.cast.user import Reply, User
from simulations.cluster import Cluster
from simulations.swarm.plan import Act, Action

FAR_S: Final = 100_000
"""Beyond every window of admission that a plan draws."""


async def carry_out(cluster: Cluster, it: Act) -> None:
    """Do it at its time. A machine that is down then is not asked."""
    await asyncio.sleep(max(0.0, it.at_s - asyncio.get_running_loop().time()))
    machine = cluster.machines[it.machine]
    if machine.node is not None:
        await _DO[it.action](cluster, it, cluster.user(it.user), machine)


async def _claim(_: Cluster, it: Act, user: User, machine: Machine) -> None:
    await user.claim(machine, it.label, moment=round(it.at_s * 1_000))


async def _offer(cluster: Cluster, it: Act, user: User, machine: Machine) -> None:
    await user.offer(machine, it.label, cluster.user(it.other))


async def _replay(cluster: Cluster, it: Act, user: User, machine: Machine) -> None:
    """What anybody may send again: it is known, or too old, or no longer follows; nothing changes by it."""
    records = [known.record for known in cluster.acknowledgements if known.record.signedby == user.key.public]
    if records:
        await user.put(machine, sign(records[int(it.at_s * 1000) % len(records)], user.key))


async def _bad_signature(cluster: Cluster, it: Act, user: User, machine: Machine) -> None:
    signed = user.sign(it.label, _now(user))
    other = user.sign(it.label, _now(user) + 1)
    _refuse(cluster, it, await user.put(machine, SignedRecord(other.signature, signed.record)))


async def _backdate(cluster: Cluster, it: Act, user: User, machine: Machine) -> None:
    if machine.settings.max_age is not None:
        _refuse(cluster, it, await user.put(machine, user.sign(it.label, _now(user) - FAR_S)))


async def _postdate(cluster: Cluster, it: Act, user: User, machine: Machine) -> None:
    _refuse(cluster, it, await user.put(machine, user.sign(it.label, _now(user) + FAR_S)))


async def _wrong_prev(cluster: Cluster, it: Act, user: User, machine: Machine) -> None:
    _refuse(cluster, it, await user.put(machine, user.sign(it.label, _now(user), prev=64 * "0")))


async def _usurp(cluster: Cluster, it: Act, user: User, machine: Machine) -> None:
    """Carry on a label that this node knows to be another's, and not offered."""
    head = await user.head(machine, it.label)
    if head is None or user.key.public in (head["signedby"], head.get("newowner")):
        return
    timestamp = max(_now(user), head["timestamp"] + 1)
    reply = await user.put(machine, user.sign(it.label, timestamp, prev=head["id"]))
    if reply.is_acknowledged and not _was_reverted(machine, head["id"]):
        _refuse(cluster, it, reply)


def _was_reverted(machine: Machine, head: str) -> bool:
    """Whether another head came between the question and the claim; then the claim may have been right."""
    records = {signed.record.id: signed.record for signed in machine.disk.records()}
    label = records[head].label if head in records else None
    return any(record.label == label and record.order_key > records[head].order_key for record in records.values())


async def _push_backdated(_: Cluster, it: Act, user: User, machine: Machine) -> None:
    await machine.trust(user.key.public)
    await user.put(machine, user.sign(it.label, _now(user) - FAR_S - int(it.at_s)), as_peer=True)


async def _push_two(cluster: Cluster, it: Act, user: User, machine: Machine) -> None:
    """Two records of one moment, one to each of two nodes that may not hear from each other for a while."""
    other = cluster.machines[it.other]
    if other.node is None:
        return
    timestamp = _now(user)
    for number, target in enumerate((machine, other)):
        await target.trust(user.key.public)
        body = {"domain": "example.org", "label": it.label, "signedby": user.key.public, "timestamp": timestamp}
        await user.put(target, sign(make({**body, "half": number}), user.key), as_peer=True)


async def _mischief(_: Cluster, it: Act, user: User, machine: Machine) -> None:
    if it.at_s % 2 < 1:
        await machine.trust(user.key.public)
    await mischief.make_mischief(_MISCHIEF[it.action], user, machine, it.label)


def _refuse(cluster: Cluster, it: Act, reply: Reply) -> None:
    if reply.status == "accepted":
        cluster.checkers.on_violation(it.machine, f"{it.action} of {it.label} by {it.user} was accepted")


def _now(user: User) -> int:
    return int(user.clock.now_s())


_MISCHIEF: Final[dict[Action, mischief.Mischief]] = {
    Action.LINK_NONSENSE: mischief.nonsense,
    Action.LINK_LIES: mischief.lies,
    Action.LINK_PROMISES: mischief.promises,
    Action.LINK_FORGERIES: mischief.forgeries,
    Action.LINK_LOSERS: mischief.losers,
}

_DO: Final[dict[Action, Callable[[Cluster, Act, User, Machine], Awaitable[None]]]] = {
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
    **dict.fromkeys(_MISCHIEF, _mischief),
}


async def carry_out_all(cluster: Cluster, acts: Sequence[Act]) -> None:
    """All of them, each at its time."""
    async with asyncio.TaskGroup() as group:
        for it in acts:
            group.create_task(carry_out(cluster, it))

"""The counts of each domain and key equal what the node's disk holds, and a client never writes past a full quota."""

from collections import Counter
from collections.abc import Iterable, Mapping

from node.node import Node
from protocol.records.record import Record
from simulations.cast.machine import Machine
from simulations.judges.violation import OnViolation


async def check_usage(machines: Mapping[str, Machine], on_violation: OnViolation) -> None:
    """Check the counts of all nodes that run. Call it only while no commit is under way."""
    for name, machine in machines.items():
        if machine.node is not None:
            await _check_node(name, machine.node, [signed.record for signed in machine.disk.records()], on_violation)


async def _check_node(name: str, node: Node, records: Iterable[Record], on_violation: OnViolation) -> None:
    by_domain, by_key = _count(records)
    for domain in node.indexes.dropped:  # the skeletons of a dropped domain are in the store until the next start
        by_domain.pop(domain, None)
    counted = {domain: (held.records, held.size_bytes) for domain, held in node.ingest.usage.domains.items()}
    stored = {key: (held.records, held.size_bytes) for key, held in (await node.store.key_usage(list(by_key))).items()}
    for what, right, is_so in (("domain", by_domain, counted), ("key", by_key, stored)):
        for each in right:
            if is_so.get(each) != right[each]:
                on_violation(name, f"the {what} {each[:20]} has {right[each]}, and the node counts {is_so.get(each)}")


def _count(records: Iterable[Record]) -> tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]:
    """Records and bytes by domain, and by key."""
    domains: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    keys: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for record in records:
        for (number, size_bytes), name in ((domains, record.domain), (keys, record.signedby)):
            number[name] += 1
            size_bytes[name] += len(record.canonical)
    return _pairs(*domains), _pairs(*keys)


def _pairs(number: Counter[str], size_bytes: Counter[str]) -> dict[str, tuple[int, int]]:
    return {name: (number[name], size_bytes[name]) for name in number}


def full_quota(machine: Machine, key: str, domain: str) -> str | None:
    """A quota that forbids another record of this `key` or `domain`, judged by the disk; None: no quota forbids it."""
    settings = machine.settings
    limits = {"key": settings.key_records_max, "domain": settings.domain_records_max}
    if machine.node is None or limits == {"key": None, "domain": None}:
        return None
    records = [signed.record for signed in machine.disk.records()]
    held = {"key": sum(it.signedby == key for it in records), "domain": sum(it.domain == domain for it in records)}
    return next((name for name, most in limits.items() if most is not None and held[name] >= most), None)

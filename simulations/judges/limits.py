"""The queues of a node never exceed their limits."""

from node.node import Node
from protocol.link.messages import RECORDS_MAX
from protocol.link.terms import LinkLimits
from simulations.judges.violation import OnViolation

REMEMBERED_MORE = 150
"""Domains that a link remembers beside those that either side holds: the passes of an earlier list may not be over."""

_LIMITS = LinkLimits()


def check_limits(name: str, node: Node, on_violation: OnViolation) -> None:
    """Check that no queue is too long. A single frame of records may exceed the room, if nothing else is in it."""
    room, settings = node.ingest.room, node.settings
    if room.records > settings.records_in_flight_max + RECORDS_MAX:
        on_violation(name, f"{room.records} records are in flight")
    for link in node.links.by_number.values():
        status = link.machine.status()
        if status.queued > _LIMITS.queued_max or status.in_flight_frames > _LIMITS.in_flight_frames_max:
            on_violation(name, f"{status.queued} records wait on a link, {status.in_flight_frames} frames in flight")
        if link.machine.remembered > 2 * len(status.domains) + REMEMBERED_MORE:
            words = f"a link remembers {link.machine.remembered} domains, and both sides hold {len(status.domains)}"
            on_violation(name, words)

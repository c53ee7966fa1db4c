"""A crowd: what all strangers may cause together, and the part of each of them when they cause too much.

A share for each address bounds nothing if there are hundreds of addresses. So all strangers together have a share of a
core as well. While it lasts, nobody waits for the others. Once it is used up, each address may cause only its part, so
those that cause little are served at once, and the parts together are the share.

Whoever rents many addresses gets them next to each other. So the parts are made in two steps: networks of 24 bits
(IPv6: 48 bits) have equal parts of the share, and the addresses in each have equal parts of that (hierarchical fair
sharing: Bennett and Zhang, "Hierarchical packet fair queueing algorithms", 1996).
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from node.fairness.addresses import neighbours_of
from protocol.records.quota import ADDRESSES_MAX, Bucket

STRANGERS_BURST_S: Final = 1.0
"""What all strangers have not used of their share of the node, they may use at once for so many seconds."""

FORGET_S: Final = 2.0
"""Seconds after which an address that causes nothing has no part any more."""


class _Member(msgspec.Struct):
    """What an address has caused, and when it last caused anything."""

    neighbours: str
    used: Bucket
    heard_s: float


class CrowdCounts(msgspec.Struct):
    """What became of strangers since the start of the node, for the metrics.

    `work_s`: seconds of a core that their work took. `delayed`: how often work of an address waited because a share was
    used up. `refused`: requests, links and handshakes that were refused for that.
    """

    work_s: float = 0.0
    delayed: int = 0
    refused: int = 0


def nobody(_address: str) -> bool:
    """Whether this address is exempt from a crowd that exempts nobody."""
    return False


class Crowd:
    """Counts the work of all strangers in seconds of a core, and says how long an address has to wait.

    `counts` are those of this crowd. Whoever asks how long to wait counts what becomes of the work.
    """

    def __init__(
        self,
        share_max: float | None,
        burst_s: float,
        is_exempt: Callable[[str], bool] = nobody,
        *,
        is_strict: bool = False,
    ) -> None:
        """`share_max` is the share of a core for all; None: no limit. They may use at once what it gives in `burst_s`
        seconds. `is_exempt`: whether an address belongs to no stranger, but to a listed peer. `is_strict`: all wait if
        they have used twice that, also those within their parts, because ever new addresses could cause any sum.
        """
        self._share_max = share_max
        self._burst_s = burst_s
        self.counts = CrowdCounts()
        self.is_exempt = is_exempt
        self._is_strict = is_strict
        self._all = Bucket()
        self._members: OrderedDict[str, _Member] = OrderedDict()
        """The one that has been silent for longest is the first."""
        self._by_neighbours: Counter[str] = Counter()

    def size(self, now_s: float) -> int:
        """The number of addresses that have a part now."""
        self._forget_silent(now_s)
        return len(self._members)

    def spend(self, address: str, seconds: float, now_s: float) -> None:
        """Count work of this address."""
        if self.is_exempt(address):
            return
        self.counts.work_s += seconds
        if self._share_max is None:
            return
        self._all.leak(self._share_max, now_s)
        self._all.level += seconds
        member = self._enter(address, now_s)
        member.used.leak(self._part(member, self._share_max), now_s)
        member.used.level += seconds

    def wait_s(self, address: str, now_s: float) -> float:
        """How many seconds this address has to wait before it may cause more; 0: it may now."""
        if self._share_max is None or self.is_exempt(address):
            return 0.0
        self._all.leak(self._share_max, now_s)
        over_s = self._all.level / self._share_max - self._burst_s
        if over_s <= 0:
            return 0.0
        wait_s = over_s - self._burst_s if self._is_strict else 0.0
        member = self._members.get(address)
        if member is not None:
            part = self._part(member, self._share_max)
            member.used.leak(part, now_s)
            wait_s = max(wait_s, member.used.level / part - self._burst_s)
        return max(0.0, wait_s)

    def _part(self, member: _Member, share_max: float) -> float:
        return share_max / len(self._by_neighbours) / self._by_neighbours[member.neighbours]

    def _enter(self, address: str, now_s: float) -> _Member:
        """The member of this address, which is heard now. Those that were not heard of lately leave."""
        member = self._members.get(address)
        if member is None:
            member = self._members[address] = _Member(neighbours_of(address), Bucket(at_s=now_s), now_s)
            self._by_neighbours[member.neighbours] += 1
        self._members.move_to_end(address)
        member.heard_s = now_s
        self._forget_silent(now_s)
        return member

    def _forget_silent(self, now_s: float) -> None:
        while len(self._members) > ADDRESSES_MAX or (self._members and self._oldest.heard_s < now_s - FORGET_S):
            _, left = self._members.popitem(last=False)
            self._by_neighbours[left.neighbours] -= 1
            if not self._by_neighbours[left.neighbours]:
                del self._by_neighbours[left.neighbours]

    @property
    def _oldest(self) -> _Member:
        return next(iter(self._members.values()))

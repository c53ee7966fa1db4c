"""A crowd: what all strangers may cause together, and the part of each of them when they cause too much.

A share for each address bounds nothing if there are hundreds of addresses. So all strangers together have a share of a
core as well. While it lasts, nobody waits for the others. Once it is used up, each address may cause only its part, so
those that cause little are served at once, and the parts together are the share.

Whoever rents many addresses gets them next to each other. So the parts are made in two steps: networks of 24 bits
(IPv6: 48 bits) have equal parts of the share, and the addresses in each have equal parts of that (hierarchical fair
sharing: Bennett and Zhang, "Hierarchical packet fair queueing algorithms", 1996).
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from node.fairness.addresses import neighbours_of
from protocol.records.quota import ADDRESSES_MAX, Bucket

STRANGERS_BURST_S: Final = 1.0
"""What all strangers have not used of their share of the node, they may use at once for so many seconds."""

FORGET_S: Final = 2.0
"""Seconds after which an address that causes nothing, and does not have to wait, has no part any more."""


class _Network(msgspec.Struct):
    """The addresses of a network. `fresh`: what those caused that were within their parts."""

    fresh: Bucket
    addresses: int = 0


class _Member(msgspec.Struct):
    """What an address has caused, and when it last caused anything."""

    network: _Network
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
        seconds. `is_exempt`: whether an address belongs to no stranger, but to a listed peer. `is_strict`: ever new
        addresses are bounded too.
        """
        self._share_max = share_max
        self._burst_s = burst_s
        self.counts = CrowdCounts()
        self.is_exempt = is_exempt
        self._is_strict = is_strict
        self._all = Bucket()
        self._fresh = Bucket()
        """What addresses within their parts caused, in networks within theirs."""
        self._members: OrderedDict[str, _Member] = OrderedDict()
        """The one that has been silent for longest is the first."""
        self._networks: dict[str, _Network] = {}

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
        if self._over_s(member.used, self._part(member), now_s) <= 0 and self._is_strict:
            self._count_fresh(member.network, seconds, now_s)
        member.used.level += seconds

    def wait_s(self, address: str, now_s: float) -> float:
        """How many seconds this address has to wait before it may cause more; 0: it may now."""
        if self._share_max is None or self.is_exempt(address):
            return 0.0
        if self._over_s(self._all, self._share_max, now_s) <= 0:
            return 0.0
        member = self._members.get(address)
        network = self._networks.get(neighbours_of(address)) if member is None else member.network
        wait_s = self._over_s(self._fresh, self._share_max, now_s) - self._burst_s
        if network is not None:
            wait_s = max(wait_s, self._over_s(network.fresh, self._part_of_network, now_s) - self._burst_s)
        if member is not None:
            wait_s = max(wait_s, self._over_s(member.used, self._part(member), now_s))
        return max(0.0, wait_s)

    def _count_fresh(self, network: _Network, seconds: float, now_s: float) -> None:
        """Count work of an address within its part."""
        assert self._share_max is not None
        if self._over_s(network.fresh, self._part_of_network, now_s) <= 0:
            self._fresh.leak(self._share_max, now_s)
            self._fresh.level += seconds
        network.fresh.level += seconds

    def _over_s(self, bucket: Bucket, rate: float, now_s: float) -> float:
        """How many seconds the bucket takes until its level is what its rate gives in one burst. Negative: less."""
        bucket.leak(rate, now_s)
        return bucket.level / rate - self._burst_s

    @property
    def _part_of_network(self) -> float:
        assert self._share_max is not None
        return self._share_max / len(self._networks)

    def _part(self, member: _Member) -> float:
        return self._part_of_network / member.network.addresses

    def _enter(self, address: str, now_s: float) -> _Member:
        """The member of this address, which is heard now. Those that were not heard of lately leave."""
        member = self._members.get(address)
        if member is None:
            network = self._networks.setdefault(neighbours_of(address), _Network(Bucket(at_s=now_s)))
            network.addresses += 1
            member = self._members[address] = _Member(network, Bucket(at_s=now_s), now_s)
        self._members.move_to_end(address)
        member.heard_s = now_s
        self._forget_silent(now_s)
        return member

    def _forget_silent(self, now_s: float) -> None:
        """Forget the addresses that were not heard of lately, but for those that have to wait: they would come back
        without their debts.
        """
        while len(self._members) > ADDRESSES_MAX or (self._members and self._oldest.heard_s < now_s - FORGET_S):
            address, oldest = self._members.popitem(last=False)
            if len(self._members) < ADDRESSES_MAX and self._over_s(oldest.used, self._part(oldest), now_s) > 0:
                oldest.heard_s = now_s
                self._members[address] = oldest
                continue
            oldest.network.addresses -= 1
            if not oldest.network.addresses:
                del self._networks[neighbours_of(address)]

    @property
    def _oldest(self) -> _Member:
        return next(iter(self._members.values()))

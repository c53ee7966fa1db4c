"""Quotas: how much one address may bring, as leaky buckets (Turner, "New directions in communications", 1986).

A bucket leaks at the quota's rate and holds what the rate allows in `BURST_S` seconds. A batch that arrives while the
bucket is not overfull passes as a whole, even if it overfills the bucket. The next batch then waits until the excess
has leaked out. So a quota never splits a batch, and in the long run admits no more than its rate.
"""

from collections import OrderedDict
from typing import Final

import msgspec

BURST_S: Final = 10.0
"""A bucket holds what its rate allows in this many seconds. A guess: it lets a batch through and stops a flood."""

EXACT_WEIGHT: Final = 16
"""A byte on the exact path to canonical bytes counts as this many bytes, because it costs 400 ns instead of about 20
ns. The default quota of 4 MiB a second then allows one address a tenth of a core."""

ADDRESSES_MAX: Final = 10_000
"""Addresses remembered. Past this, the address that was heard of least recently is forgotten."""


class Bucket(msgspec.Struct):
    """The level at the time `at_s`, in seconds. A new bucket is empty."""

    level: float = 0.0
    at_s: float = 0.0

    def leak(self, rate: float, now_s: float) -> None:
        """Bring the level to this time. `rate` is in units per second. A clock that is set back leaks nothing."""
        elapsed_s = max(0.0, now_s - self.at_s)
        self.level = max(0.0, self.level - elapsed_s * rate)
        self.at_s = now_s


class Quota:
    """One limit for each of many addresses."""

    def __init__(self, rate: float | None, addresses_max: int = ADDRESSES_MAX, *, burst_s: float = BURST_S) -> None:
        """`rate` is in units per second; None: no limit. A bucket holds what the rate allows in `burst_s` seconds."""
        self._rate = rate
        self._burst_s = burst_s
        self._addresses_max = addresses_max
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def wait_s(self, address: str, now_s: float) -> float:
        """How many seconds this address has to wait before it may bring more; 0: it may bring more now."""
        if self._rate is None:
            return 0.0
        over = self._leaked(address, now_s).level - self._rate * self._burst_s
        return max(0.0, over / self._rate)

    def spend(self, address: str, amount: float, now_s: float) -> None:
        """Count what this address brought."""
        if self._rate is not None:
            self._leaked(address, now_s).level += amount

    def __len__(self) -> int:
        return len(self._buckets)

    def _leaked(self, address: str, now_s: float) -> Bucket:
        assert self._rate is not None
        bucket = self._buckets.setdefault(address, Bucket(at_s=now_s))
        self._buckets.move_to_end(address)
        if len(self._buckets) > self._addresses_max:
            self._buckets.popitem(last=False)
        bucket.leak(self._rate, now_s)
        return bucket

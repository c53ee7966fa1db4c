"""The room in the pipeline: limits on records and bytes in flight, on what one address brings, and on disk space.

Limits are checked before any other work. At a limit a client gets `overloaded` and comes back later; a peer's reader
waits. Records in flight are shared by address, because they may wait for the operator's program for long. Their bytes
are within the memory for bodies and links, which is shared too.
"""

import asyncio
from typing import Final

from node.fairness.byte_budget import ByteBudget
from node.intake.arrivals import Origin
from node.settings.settings import Settings
from node.world import World
from protocol.errors import Code, ProtocolError
from protocol.records.quota import Quota

_DISK_CHECK_EVERY_S: Final = 1.0
_RETRY_AFTER_S: Final = 1
_GROUP_RECORDS_MAX: Final = 1_000
"""Records that may come at once: a batch, or a page of a sync."""

_DISK_RETRY_AFTER_S: Final = 60


class Room:
    """Counts what is in flight, and what each address brought. `records` and `size_bytes` are in flight now."""

    def __init__(self, settings: Settings, world: World) -> None:
        self.records = 0
        self.size_bytes = 0
        self._settings = settings
        self._world = world
        self._freed = asyncio.Event()
        self._disk_checked_s = float("-inf")
        self._disk_free_bytes = 0
        self._shares = ByteBudget(settings.records_in_flight_max, _GROUP_RECORDS_MAX, "")  # of records, not of bytes
        self._records_quota = Quota(settings.records_per_second_max)
        self._bytes_quota = Quota(settings.bytes_per_second_max)
        self._refused_quota = Quota(_per_second(settings.refused_per_minute_max, 60))
        self._domains_quota = Quota(_per_second(settings.domains_per_hour_max, 3600))

    async def enter(self, records: int, size_bytes: int, origin: Origin, *, waits: bool) -> None:
        """Take this much room, until `leave`. `waits`: wait while the room is full.

        Raises:
            ProtocolError: `rate_limited` or `storage_full`; `overloaded` if the room is full and the source does not
                wait.
        """
        if not waits:
            self.enter_now(records, size_bytes, origin)
            return
        self._check_limits(records, size_bytes, origin)
        while not self._fits(records, size_bytes, origin):
            self._freed.clear()
            await self._freed.wait()
        self._add(records, size_bytes, origin)

    def enter_now(self, records: int, size_bytes: int, origin: Origin) -> None:
        """The same as `enter`, without waiting."""
        self._check_limits(records, size_bytes, origin)
        if not self._fits(records, size_bytes, origin):
            detail = "too much is on its way already, or too much of your own"
            raise ProtocolError(Code.OVERLOADED, detail, retry_after=_RETRY_AFTER_S)
        self._add(records, size_bytes, origin)

    def leave(self, records: int, size_bytes: int, origin: Origin) -> None:
        self._add(-records, -size_bytes, origin)
        self._freed.set()

    def _add(self, records: int, size_bytes: int, origin: Origin) -> None:
        self.records += records
        self.size_bytes += size_bytes
        self._shares.add(origin.address, records)

    def count_bytes(self, origin: Origin, size_bytes: int) -> None:
        """Count this many bytes more of this source than it sent, because its records cost the node as much."""
        if origin.address is not None:
            self._bytes_quota.spend(origin.address, size_bytes, self._world.now_s())

    def count_refused(self, origin: Origin, refused: int) -> None:
        if origin.address is not None and refused:
            self._refused_quota.spend(origin.address, refused, self._world.now_s())

    def count_domain(self, origin: Origin) -> None:
        if origin.address is not None:
            self._domains_quota.spend(origin.address, 1, self._world.now_s())

    def check_domain_quota(self, origin: Origin) -> None:
        """Raises: ProtocolError: `rate_limited` for an address that founded too many domains."""
        self._check_quota(self._domains_quota, origin, "new domains")

    def is_disk_full(self) -> bool:
        """Whether the disk has less free space than the settings demand."""
        return self.disk_free_bytes() < self._settings.disk_free_bytes_min

    def disk_free_bytes(self) -> int:
        """Free space where the data folder is. Looked up at most once a second."""
        now_s = self._world.now_s()
        if abs(now_s - self._disk_checked_s) >= _DISK_CHECK_EVERY_S:
            self._disk_free_bytes = self._world.disk.free_bytes(self._settings.data)
            self._disk_checked_s = now_s
        return self._disk_free_bytes

    def _fits(self, records: int, size_bytes: int, origin: Origin) -> bool:
        """Whether this fits. A group that is larger than the whole room enters alone."""
        if not self.records:
            return True
        within = self._shares.left_bytes(origin.address) >= records
        return within and self.size_bytes + size_bytes <= self._settings.bytes_in_flight_max

    def _check_limits(self, records: int, size_bytes: int, origin: Origin) -> None:
        if origin.address is not None:
            self._check_quotas(records, size_bytes, origin, origin.address)
        if self.is_disk_full():
            needed = self._settings.disk_free_bytes_min
            detail = f"{self._disk_free_bytes} bytes are free on this node's disk, and it keeps {needed} free"
            raise ProtocolError(Code.STORAGE_FULL, detail, retry_after=_DISK_RETRY_AFTER_S)

    def _check_quotas(self, records: int, size_bytes: int, origin: Origin, address: str) -> None:
        self._check_quota(self._refused_quota, origin, "refused records")
        self._check_quota(self._records_quota, origin, "records")
        self._check_quota(self._bytes_quota, origin, "bytes")
        now_s = self._world.now_s()
        self._records_quota.spend(address, records, now_s)
        self._bytes_quota.spend(address, size_bytes, now_s)

    def _check_quota(self, quota: Quota, origin: Origin, what: str) -> None:
        if origin.address is None:
            return
        wait_s = quota.wait_s(origin.address, self._world.now_s())
        if wait_s > 0:
            retry_after = int(wait_s) + 1
            detail = f"too many {what} from {origin.address}: come back in {retry_after} s"
            raise ProtocolError(Code.RATE_LIMITED, detail, retry_after=retry_after)


def _per_second(rate: float | None, seconds: int) -> float | None:
    return None if rate is None else rate / seconds

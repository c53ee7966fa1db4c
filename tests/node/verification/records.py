"""Records to verify, and the processes that verify them."""

import psutil

from protocol.records.record import SignedRecord
from tests.history import claim, signed

FORGED = "00" * 64


def some(count: int, *, forged: set[int]) -> list[SignedRecord]:
    """So many records, those at these places with a false signature."""
    records = [signed(claim(f"label-{n}")) for n in range(count)]
    return [SignedRecord(FORGED, it.record) if n in forged else it for n, it in enumerate(records)]


def children() -> list[psutil.Process]:
    """The verifying processes of this process."""
    return [each for each in psutil.Process().children() if "node.verification.answering" in each.cmdline()]

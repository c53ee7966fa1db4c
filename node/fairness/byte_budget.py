"""Byte budgets: the memory that requests, answers or frames of one kind may take together, shared by address.

One address gets at most a quarter of a budget, and all strangers together at most three quarters. So a stranger cannot
use up the memory, and callers on this machine always find some. A budget of few bytes still has room for one request or
answer of the largest size.
"""

from collections import Counter

from protocol.errors import Code, ProtocolError


class ByteBudget:
    """Counts bytes by address. `held_bytes` is how much of the budget is in use."""

    def __init__(self, bytes_max: int, one_bytes_max: int, detail: str) -> None:
        """`one_bytes_max` is the size of the largest request or answer, `detail` what a refused caller is told."""
        self.held_bytes = 0
        self._bytes_max = bytes_max
        self._strangers_bytes_max = max(bytes_max * 3 // 4, one_bytes_max)
        self._address_bytes_max = max(bytes_max // 4, one_bytes_max)
        self._detail = detail
        self._by_address: Counter[str] = Counter()

    def check_room(self, address: str | None) -> None:
        """Check that the bytes held are within the bounds of this caller. `address` None is a caller on this machine.

        Raises:
            ProtocolError: `overloaded` if this caller, or all callers, hold too much.
        """
        if self.is_full_for(address):
            raise self.refusal()

    def is_full_for(self, address: str | None) -> bool:
        """Whether this caller, or all callers, hold too much for this caller to hold more."""
        return self.left_bytes(address) < 0

    def left_bytes(self, address: str | None) -> int:
        """How many bytes more this caller may hold; negative: this caller, or all callers, hold too much already."""
        if address is None:
            return self._bytes_max - self.held_bytes
        of_address = self._address_bytes_max - self._by_address[address]
        return min(self._strangers_bytes_max - self.held_bytes, of_address)

    def has_its_share(self, address: str | None) -> bool:
        """Whether this address alone holds too much."""
        return address is not None and self._by_address[address] > self._address_bytes_max

    def held_by(self, address: str | None) -> int:
        """The bytes that this address holds. 0 for callers on this machine, which are not counted apart."""
        return 0 if address is None else self._by_address[address]

    def refusal(self) -> ProtocolError:
        return ProtocolError(Code.OVERLOADED, self._detail, retry_after=1)

    def add(self, address: str | None, size_bytes: int) -> None:
        """Count this many bytes more, whatever the bounds; a negative size gives bytes back."""
        self.held_bytes += size_bytes
        if address is not None:
            self._by_address[address] += size_bytes
            if not self._by_address[address]:
                del self._by_address[address]

"""The ordered set of one domain's keys, with the fingerprint of any range of it.

A key is 40 bytes: the timestamp, 8 bytes big-endian, then the record id. Compared as bytes, keys stand in the order of
the contract, `(timestamp, id)`. They lie packed in blocks, in order, each block with the sum of its ids: a B+ tree of
two levels, which is as deep as a set of some millions needs. To find a key is one bisection over the blocks' first keys
and one inside a block; to add one moves at most one block's bytes.

Ranks (how many keys stand below) and fingerprints need totals over whole blocks. Those are running totals, made when
asked for and cut off behind the block that a new key went into. Records are nearly always new ones, so the cut is at
the end and costs nothing; after a late record the next question counts up the blocks behind it, once.

The fingerprint is Negentropy's (specification v1, "Fingerprint Algorithm"): ids are added as 256-bit integers, so what
a range sums to is the difference of two running totals. It finds accidents and honest differences for certain. Who can
sign records without end could search for two sets of equal sum and count (Wagner's generalised birthday) and so hide
them from reconciliation, though not from catch-up by timestamp, which does not compare.

Keys are never taken out, because records are never deleted.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, chain, groupby, repeat
from struct import Struct
from typing import Final, Literal

from protocol.sets.varint import encode_varint

TIMESTAMP_BYTES: Final = 8
ID_BYTES: Final = 32
KEY_BYTES: Final = TIMESTAMP_BYTES + ID_BYTES
FINGERPRINT_BYTES: Final = 16

_BLOCK_KEYS_MAX = 512
"""Of 1,000,000 keys, in blocks of 256, 512 and 1,024: a range's fingerprint takes 30, 50 and 100 us, and the first one
after a late record 430, 350 and 130 us. Adding, finding and memory (42 to 44 bytes a key) hardly differ."""

_BLOCK_BYTES_MAX = _BLOCK_KEYS_MAX * KEY_BYTES
_EACH_KEY = Struct(f"{KEY_BYTES}s")
_EACH_ID = Struct(f"{TIMESTAMP_BYTES}x{ID_BYTES}s")
_LITTLE: Iterator[Literal["little"]] = repeat("little")
_integer: Callable[[bytes, Literal["little"]], int] = int.from_bytes


def pack_key(timestamp: int, record_id: bytes) -> bytes:
    """The key of a record: its timestamp in seconds, its id in 32 bytes."""
    assert len(record_id) == ID_BYTES
    return timestamp.to_bytes(TIMESTAMP_BYTES, "big") + record_id


def key_timestamp(key: bytes) -> int:
    return int.from_bytes(key[:TIMESTAMP_BYTES], "big")


def key_id(key: bytes) -> bytes:
    return key[TIMESTAMP_BYTES:]


class Index:
    """A sorted set of keys that only grows. Ranges are half open, [begin, end), and given in ranks."""

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        """Take in keys of any order, repeated or not; where they come in order already it is three times as fast."""
        ordered = [key for key, _ in groupby(sorted(keys))]
        assert set(map(len, ordered)) <= {KEY_BYTES}
        begins = range(0, len(ordered), _BLOCK_KEYS_MAX)
        self._count = len(ordered)
        self._blocks = [bytearray().join(ordered[begin : begin + _BLOCK_KEYS_MAX]) for begin in begins] or [bytearray()]
        # What is below the first block's first key belongs to the first block: nothing is below the empty string.
        self._first_keys = [b"", *ordered[_BLOCK_KEYS_MAX::_BLOCK_KEYS_MAX]]
        self._sums = [_sum_of_ids(block) for block in self._blocks]
        self._last_key = ordered[-1] if ordered else b""
        # Of all keys before a block, for as many blocks as is known: at least for the first.
        self._counts_before = [0]
        self._sums_before = [0]

    def add(self, key: bytes) -> bool:
        """Take in one key; False if it was there."""
        assert len(key) == KEY_BYTES
        if key > self._last_key:  # new records come here
            self._last_key = key
            position = len(self._blocks) - 1
            block = self._blocks[position]
            block += key
        else:
            position = self._block_of(key)
            block = self._blocks[position]
            offset = _offset_of(key, block)
            if block[offset : offset + KEY_BYTES] == key:
                return False
            block[offset:offset] = key
        self._count += 1
        self._sums[position] += _integer(key_id(key), "little")
        del self._counts_before[position + 1 :], self._sums_before[position + 1 :]
        if len(block) > _BLOCK_BYTES_MAX:
            self._split(position)
        return True

    def __contains__(self, key: bytes) -> bool:
        if key > self._last_key:  # as most that are asked for: what is new
            return False
        block = self._blocks[self._block_of(key)]
        offset = _offset_of(key, block)
        return block[offset : offset + KEY_BYTES] == key

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        """All keys in order. The index must not grow meanwhile; where it may, page with `keys`."""
        return _each(_EACH_KEY, self._blocks)

    @property
    def newest(self) -> int | None:
        """The highest timestamp, in seconds; None where there is no key."""
        return key_timestamp(self._last_key) if self._count else None

    def rank(self, bound: bytes) -> int:
        """How many keys are below a key, or below the first bytes of one, the others counting as zeros."""
        self._count_up()
        position = self._block_of(bound)
        return self._counts_before[position] + _offset_of(bound, self._blocks[position]) // KEY_BYTES

    def key_at(self, rank: int) -> bytes:
        assert 0 <= rank < self._count
        position, offset = self._place_of(rank)
        return bytes(self._blocks[position][offset : offset + KEY_BYTES])

    def keys(self, begin: int, end: int) -> list[bytes]:
        """The keys of a range, in order, as they are now."""
        return list(_each(_EACH_KEY, self._parts(begin, end)))

    def ids(self, begin: int, end: int) -> list[bytes]:
        """The record ids of a range, in the order of their keys, as they are now."""
        return list(_each(_EACH_ID, self._parts(begin, end)))

    def fingerprint(self, begin: int = 0, end: int | None = None) -> bytes:
        """What two nodes compare to learn whether they hold the same: 16 bytes. Without an end, to the last key."""
        end = self._count if end is None else end
        assert 0 <= begin <= end <= self._count
        if end - begin <= _BLOCK_KEYS_MAX // 2:  # less work than the difference, which adds up parts of two blocks
            total = sum(map(_sum_of_ids, self._parts(begin, end)))
        else:
            total = self._sum_before(end) - self._sum_before(begin)
        reduced = total % 2 ** (8 * ID_BYTES)
        hashed = hashlib.sha256(reduced.to_bytes(ID_BYTES, "little") + encode_varint(end - begin))
        return hashed.digest()[:FINGERPRINT_BYTES]

    def _block_of(self, bound: bytes) -> int:
        return bisect_right(self._first_keys, bound) - 1

    def _place_of(self, rank: int) -> tuple[int, int]:
        """The block of the key of that rank, and the byte where it starts; past all keys, the end of the last block."""
        self._count_up()
        position = bisect_right(self._counts_before, rank) - 1
        return position, (rank - self._counts_before[position]) * KEY_BYTES

    def _parts(self, begin: int, end: int) -> Iterator[bytearray]:
        """The packed keys of a range, block by block."""
        assert 0 <= begin <= end <= self._count
        position, offset = self._place_of(begin)
        missing = (end - begin) * KEY_BYTES
        while missing:
            part = self._blocks[position][offset : offset + missing]
            yield part
            missing -= len(part)
            position, offset = position + 1, 0

    def _sum_before(self, rank: int) -> int:
        """The sum of the ids of all keys below that rank, reached from the nearer end of its block."""
        position, offset = self._place_of(rank)
        block = self._blocks[position]
        if offset <= len(block) // 2:
            return self._sums_before[position] + _sum_of_ids(block[:offset])
        return self._sums_before[position] + self._sums[position] - _sum_of_ids(block[offset:])

    def _count_up(self) -> None:
        """Make the running totals reach the last block again."""
        known = len(self._counts_before) - 1
        if known == len(self._blocks) - 1:
            return
        counts = [len(block) // KEY_BYTES for block in self._blocks[known:-1]]
        self._counts_before[known:] = accumulate(counts, initial=self._counts_before[known])
        self._sums_before[known:] = accumulate(self._sums[known:-1], initial=self._sums_before[known])

    def _split(self, position: int) -> None:
        """Move the end of an overfull block into a block of its own.

        Of the last block that is one key: keys come mostly at the end, and so leave full blocks behind.
        """
        block = self._blocks[position]
        is_last = position == len(self._blocks) - 1
        moved_keys = 1 if is_last else _BLOCK_KEYS_MAX // 2
        moved = block[-moved_keys * KEY_BYTES :]
        del block[-moved_keys * KEY_BYTES :]
        total = _sum_of_ids(moved)
        self._sums[position] -= total
        self._sums.insert(position + 1, total)
        self._blocks.insert(position + 1, moved)
        self._first_keys.insert(position + 1, bytes(moved[:KEY_BYTES]))


def _offset_of(bound: bytes, block: bytearray) -> int:
    """Where in a block the first key starts that is not below the bound."""
    if block[-KEY_BYTES:] < bound:  # one comparison instead of ten
        return len(block)
    low, high = 0, len(block) // KEY_BYTES
    while low < high:  # by hand, for `bisect` would call a function for each key that it looks at
        middle = (low + high) // 2
        if block[middle * KEY_BYTES : (middle + 1) * KEY_BYTES] < bound:
            low = middle + 1
        else:
            high = middle
    return low * KEY_BYTES


def _each(shape: Struct, packed: Iterable[bytearray]) -> Iterator[bytes]:
    """Every key, or every id, of packed keys; all of it runs in C."""
    return chain.from_iterable(chain.from_iterable(map(shape.iter_unpack, packed)))


def _sum_of_ids(packed: bytearray) -> int:
    """Not reduced mod 2^256: the sum of a million ids is 20 bits longer, and only the fingerprint needs it reduced."""
    return sum(map(_integer, _each(_EACH_ID, [packed]), _LITTLE))


EMPTY: Final = Index()
"""The index of a domain that holds no record. Never add a key to it: everybody shares it."""

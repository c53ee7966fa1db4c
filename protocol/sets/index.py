"""The index: the ordered set of one domain's keys, with the fingerprint of any range of keys.

A key is 40 bytes: the timestamp, 8 bytes big-endian, then the record id. Compared as bytes, keys have the order of the
contract, `(timestamp, id)`. The index packs them in order into blocks, and stores the sum of the ids of each block.
This is a B+ tree of two levels, which is deep enough for a few million keys. To find a key takes one bisection over the
first keys of the blocks and one inside a block. To add a key moves the bytes of at most one block.

The *rank* of a key is the number of keys below it. Ranks and fingerprints need totals over whole blocks. The index
keeps running totals over the blocks. A new key cuts these off after its block, and the next question completes them.
Nearly all records are new, so the cut is mostly at the end and costs nothing. After a late record, the next question
adds up the blocks after it, once.

The fingerprint is Negentropy's (specification v1, "Fingerprint Algorithm"). It adds ids as 256-bit integers, so the sum
of a range is the difference of two running totals. It detects every accidental and every honest difference. An attacker
who can sign records without limit could search for two sets with equal sum and count (Wagner's generalised birthday
attack), and so hide records from reconciliation. Catch-up by timestamp would still deliver them, because it compares no
fingerprints.

Keys are never removed, because a record stays in its index when its body is erased. If an operator drops a domain, its
whole index goes.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, chain, groupby, islice, repeat
from struct import Struct
from typing import Final, Literal

from protocol.sets.varint import encode_varint

TIMESTAMP_BYTES: Final = 8
ID_BYTES: Final = 32
KEY_BYTES: Final = TIMESTAMP_BYTES + ID_BYTES
FINGERPRINT_BYTES: Final = 16

_BLOCK_KEYS_MAX = 512
"""Measured with 1,000,000 keys in blocks of 256, 512 and 1,024: the fingerprint of a range takes 30, 50 and 100 us, and
the first one after a late record 430, 350 and 130 us. Adding, finding and memory (42 to 44 bytes a key) hardly
differ."""

_BUSY_BLOCKS_MAX: Final = 64
"""The blocks of about three seconds with 10,000 live records each; 2.6 MB."""

_BUSY_SEARCHES: Final = 16
"""Searches of a block before it is busy. To make the list of its keys costs as much as ten searches."""

_BLOCK_BYTES_MAX = _BLOCK_KEYS_MAX * KEY_BYTES
_PLACES: Final = tuple(slice(begin, begin + KEY_BYTES) for begin in range(0, _BLOCK_BYTES_MAX + 1, KEY_BYTES))
"""Where the keys of a block stand. `bisect` reads a key there without a call of a Python function."""

_EACH_KEY = Struct(f"{KEY_BYTES}s")
_EACH_ID = Struct(f"{TIMESTAMP_BYTES}x{ID_BYTES}s")
_LITTLE: Iterator[Literal["little"]] = repeat("little")
_integer: Callable[[bytes, Literal["little"]], int] = int.from_bytes


def pack_key(timestamp: int, record_id: bytes) -> bytes:
    """The key of a record with this timestamp, in seconds, and this id of 32 bytes."""
    assert len(record_id) == ID_BYTES
    return timestamp.to_bytes(TIMESTAMP_BYTES, "big") + record_id


def key_timestamp(key: bytes) -> int:
    return int.from_bytes(key[:TIMESTAMP_BYTES], "big")


def key_id(key: bytes) -> bytes:
    return key[TIMESTAMP_BYTES:]


class _Block(bytearray):
    """Packed keys in order. `keys` are the same keys as a list while the block is busy, otherwise None."""

    __slots__ = ("keys", "searches")

    def __init__(self, packed: bytes | bytearray = b"") -> None:
        super().__init__(packed)
        self.keys: list[bytes] | None = None
        self.searches = 0

    def find(self, bound: bytes) -> int:  # type: ignore[override]  # nobody searches a block for a byte
        """The place, counted in keys, of the first key that is not below the bound."""
        if self.keys is not None:
            return bisect_left(self.keys, bound)
        return _offset_of(bound, self) // KEY_BYTES

    def has(self, key: bytes, place: int) -> bool:
        """Whether the key stands at this place, where `find` found it or the place for it."""
        if self.keys is not None:
            return place < len(self.keys) and self.keys[place] == key
        offset = place * KEY_BYTES
        return self[offset : offset + KEY_BYTES] == key


class BusyBlocks:
    """The blocks that are searched most, and for which a list of their keys is worth its memory.

    `bisect` searches a list in a fifth of the time. Live records of one second come in the order of their ids, which is
    random, so the blocks of the last seconds are searched again and again. All indexes of a node share one limit, and
    the block that became busy first ends first.
    """

    def __init__(self, blocks_max: int = _BUSY_BLOCKS_MAX) -> None:
        """`blocks_max`: busy blocks at once; each takes about 40 kB."""
        self._blocks_max = blocks_max
        self._blocks: deque[_Block] = deque()

    def count_search(self, block: _Block) -> None:
        """A block that is not busy is searched, and becomes busy after some searches."""
        block.searches += 1
        if block.searches < _BUSY_SEARCHES or not self._blocks_max:
            return
        if len(self._blocks) == self._blocks_max:
            ended = self._blocks.popleft()
            ended.keys, ended.searches = None, 0
        block.keys = list(_each(_EACH_KEY, [block]))
        self._blocks.append(block)


class Index:
    """A sorted set of keys that only grows. A range is given in ranks: from `begin` up to but without `end`."""

    def __init__(self, keys: Iterable[bytes] = (), busy: BusyBlocks | None = None) -> None:
        """Start with these keys, in any order, repeated or not. Keys that are in order take a third of the time.

        `busy` may be shared by many indexes; None: no block becomes busy.
        """
        self._busy = busy or BusyBlocks(0)
        self._count = 0
        self._blocks = [_Block()]
        # A key below all others belongs to the first block, because no key is below the empty string.
        self._first_keys = [b""]
        self._sums = [0]
        self._last_key = b""
        self._fingerprint: bytes | None = None
        """Of all keys, if it is known. Every list of domains asks for it."""
        # Totals of all keys before each block, as far as they are known: at least for the first block.
        self._counts_before = [0]
        self._sums_before = [0]
        self.extend(keys)

    def extend(self, keys: Iterable[bytes]) -> None:
        """Add keys in any order, repeated or not. Keys above all others of the index are added in whole blocks."""
        keys = list(keys)
        if len(keys) == 1:
            self.add(keys[0])
            return
        ordered = [key for key, _ in groupby(sorted(keys))]
        assert set(map(len, ordered)) <= {KEY_BYTES}
        first = bisect_right(ordered, self._last_key)
        for key in islice(ordered, first):
            self.add(key)
        if first < len(ordered):
            self._append(ordered[first:])

    def _append(self, ordered: list[bytes]) -> None:
        """Add these keys, which are above all others, in order. Fills the last block first."""
        position, block = len(self._blocks) - 1, self._blocks[-1]
        room = _BLOCK_KEYS_MAX - len(block) // KEY_BYTES
        more = _Block(b"".join(ordered[:room]))
        block += more
        if block.keys is not None:
            block.keys += ordered[:room]
        self._sums[position] += _sum_of_ids(more)
        del self._counts_before[position + 1 :], self._sums_before[position + 1 :]
        for begin in range(room, len(ordered), _BLOCK_KEYS_MAX):
            made = _Block(b"".join(ordered[begin : begin + _BLOCK_KEYS_MAX]))
            self._blocks.append(made)
            self._sums.append(_sum_of_ids(made))
            self._first_keys.append(ordered[begin])
        self._last_key = ordered[-1]
        self._count += len(ordered)
        self._fingerprint = None

    def add(self, key: bytes) -> bool:
        """Add one key. Returns False if the index held it already."""
        assert len(key) == KEY_BYTES
        if key > self._last_key:  # new records nearly always end here
            self._last_key = key
            position = len(self._blocks) - 1
            block = self._blocks[position]
            block += key
            if block.keys is not None:
                block.keys.append(key)
        else:
            position = bisect_right(self._first_keys, key) - 1
            block = self._blocks[position]
            place = self._find(key, block)
            if block.has(key, place):
                return False
            offset = place * KEY_BYTES
            block[offset:offset] = key
            if block.keys is not None:
                block.keys.insert(place, key)
        self._count += 1
        self._fingerprint = None
        self._sums[position] += _integer(key[TIMESTAMP_BYTES:], "little")
        if len(self._counts_before) > position + 1:
            del self._counts_before[position + 1 :], self._sums_before[position + 1 :]
        if len(block) > _BLOCK_BYTES_MAX:
            self._split(position)
        return True

    def __contains__(self, key: bytes) -> bool:
        if key > self._last_key:  # most keys that are asked for are new
            return False
        block = self._blocks[bisect_right(self._first_keys, key) - 1]
        keys = block.keys
        if keys is None:
            return block.has(key, self._find(key, block))
        place = bisect_left(keys, key)  # without the calls, because this is asked for each record
        return place < len(keys) and keys[place] == key

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        """All keys in order. The index must not grow during the iteration. If it may grow, read pages with `keys`."""
        return _each(_EACH_KEY, self._blocks)

    @property
    def newest(self) -> int | None:
        """The highest timestamp, in seconds; None if the index is empty."""
        return key_timestamp(self._last_key) if self._count else None

    def rank(self, bound: bytes) -> int:
        """How many keys are below this bound, which is a key or the first bytes of a key (the rest count as zeros)."""
        self._count_up()
        position = self._block_of(bound)
        return self._counts_before[position] + self._blocks[position].find(bound)

    def key_at(self, rank: int) -> bytes:
        assert 0 <= rank < self._count
        position, offset = self._place_of(rank)
        return bytes(self._blocks[position][offset : offset + KEY_BYTES])

    def keys(self, begin: int, end: int) -> list[bytes]:
        """The keys of a range, in order."""
        return list(_each(_EACH_KEY, self._parts(begin, end)))

    def ids(self, begin: int, end: int) -> list[bytes]:
        """The record ids of a range, in the order of their keys."""
        return list(_each(_EACH_ID, self._parts(begin, end)))

    def fingerprint(self, begin: int = 0, end: int | None = None) -> bytes:
        """The 16 bytes that two nodes compare to learn whether they hold the same. `end` None: up to the last key."""
        end = self._count if end is None else end
        if begin or end < self._count:
            return self._fingerprint_of(begin, end)
        if self._fingerprint is None:
            self._fingerprint = self._fingerprint_of(begin, end)
        return self._fingerprint

    def _fingerprint_of(self, begin: int, end: int) -> bytes:
        assert 0 <= begin <= end <= self._count
        if (
            end - begin <= _BLOCK_KEYS_MAX // 2
        ):  # adding these up is less work than the parts of two blocks that the difference needs
            total = sum(map(_sum_of_ids, self._parts(begin, end)))
        else:
            total = self._sum_before(end) - self._sum_before(begin)
        return _fingerprint(total, end - begin)

    @property
    def total(self) -> int:
        """The sum of the ids of all keys, not reduced mod 2^256."""
        return sum(self._sums)

    def _find(self, key: bytes, block: _Block) -> int:
        """Search a block for a key, as `_Block.find` does."""
        if block.keys is not None:
            return bisect_left(block.keys, key)
        self._busy.count_search(block)
        return block.find(key)

    def _block_of(self, bound: bytes) -> int:
        return bisect_right(self._first_keys, bound) - 1

    def _place_of(self, rank: int) -> tuple[int, int]:
        """The block of the key with that rank, and the byte where the key starts. Past all keys: the end of the last
        block.
        """
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
        """The sum of the ids of all keys below that rank. It starts from the nearer end of the block with that rank."""
        position, offset = self._place_of(rank)
        block = self._blocks[position]
        if offset <= len(block) // 2:
            return self._sums_before[position] + _sum_of_ids(block[:offset])
        return self._sums_before[position] + self._sums[position] - _sum_of_ids(block[offset:])

    def _count_up(self) -> None:
        """Complete the running totals up to the last block."""
        known = len(self._counts_before) - 1
        if known == len(self._blocks) - 1:
            return
        counts = [len(block) // KEY_BYTES for block in self._blocks[known:-1]]
        self._counts_before[known:] = accumulate(counts, initial=self._counts_before[known])
        self._sums_before[known:] = accumulate(self._sums[known:-1], initial=self._sums_before[known])

    def _split(self, position: int) -> None:
        """Move the second half of a block that is too full into a new block.

        Of the last block only one key moves. Keys come mostly at the end, and so the blocks before it stay full.
        """
        block = self._blocks[position]
        is_last = position == len(self._blocks) - 1
        moved_keys = 1 if is_last else _BLOCK_KEYS_MAX // 2
        moved = _Block(block[-moved_keys * KEY_BYTES :])
        del block[-moved_keys * KEY_BYTES :]
        if block.keys is not None:
            del block.keys[-moved_keys:]
        total = _sum_of_ids(moved)
        self._sums[position] -= total
        self._sums.insert(position + 1, total)
        self._blocks.insert(position + 1, moved)
        self._first_keys.insert(position + 1, bytes(moved[:KEY_BYTES]))


def fingerprint_of(total: int, count: int) -> str:
    """The fingerprint, in hex, of a set of this many keys whose ids have this sum."""
    return _fingerprint(total, count).hex()


def _fingerprint(total: int, count: int) -> bytes:
    reduced = total % 2 ** (8 * ID_BYTES)
    return hashlib.sha256(reduced.to_bytes(ID_BYTES, "little") + encode_varint(count)).digest()[:FINGERPRINT_BYTES]


def _offset_of(bound: bytes, block: bytearray) -> int:
    """The byte in a block at which the first key starts that is not below the bound."""
    if block[-KEY_BYTES:] < bound:  # one comparison instead of ten
        return len(block)
    place = bisect_left(_PLACES, bytearray(bound), 0, len(block) // KEY_BYTES, key=block.__getitem__)
    return place * KEY_BYTES


def _each(shape: Struct, packed: Iterable[bytearray]) -> Iterator[bytes]:
    """Every key, or every id, of packed keys. The whole iteration runs in C."""
    return chain.from_iterable(chain.from_iterable(map(shape.iter_unpack, packed)))


def _sum_of_ids(packed: bytearray) -> int:
    """The sum, not reduced mod 2^256. A million ids make it 20 bits longer, and only the fingerprint reduces it."""
    return sum(map(_integer, _each(_EACH_ID, [packed]), _LITTLE))


EMPTY: Final = Index()
"""The index of a domain that holds no record. Never add a key to it: everybody shares it."""

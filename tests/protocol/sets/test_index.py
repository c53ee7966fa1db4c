"""The index, compared with the simplest structure that does the same: a sorted list."""

import hashlib
import tracemalloc
from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protocol.sets.index import KEY_BYTES, BusyBlocks, Index, key_id, key_timestamp, pack_key

# Few timestamps and ids, so that a key is often drawn twice, and neighbours often differ in the last byte only.
timestamps = st.sampled_from([0, 1, 2, 255, 256, 2**53 - 1])
record_ids = st.builds(
    lambda first, last: bytes([first]) + bytes(30) + bytes([last]), st.integers(0, 3), st.integers(0, 3)
)
few_keys = st.builds(pack_key, timestamps, record_ids)


def random_keys(count: int, seed: int = 1, per_second: int = 3) -> list[bytes]:
    """`count` different keys, in order."""
    random = Random(seed)
    return sorted(pack_key(1_700_000_000 + number // per_second, random.randbytes(32)) for number in range(count))


def fingerprint_of(keys: list[bytes]) -> bytes:
    """The algorithm of the specification, word for word, for fewer than 128 * 128 keys."""
    total = sum(int.from_bytes(key[8:], "little") for key in keys) % 2**256
    count = bytes([len(keys)]) if len(keys) < 128 else bytes([128 + len(keys) // 128, len(keys) % 128])
    return hashlib.sha256(total.to_bytes(32, "little") + count).digest()[:16]


def test_a_key_is_the_big_endian_timestamp_and_the_id() -> None:
    record_id = bytes(range(32))

    key = pack_key(0x0102030405, record_id)

    assert key == bytes([0, 0, 0, 1, 2, 3, 4, 5]) + record_id
    assert (key_timestamp(key), key_id(key), len(key)) == (0x0102030405, record_id, KEY_BYTES)


def test_keys_are_in_the_order_of_timestamp_then_id() -> None:
    pairs = [(2, b"\x00"), (1, b"\xff"), (256, b"\x00"), (1, b"\x01"), (255, b"\x00")]

    index = Index(pack_key(timestamp, first * 32) for timestamp, first in pairs)

    assert [(key_timestamp(key), key_id(key)[:1]) for key in index] == sorted(pairs)


def test_an_empty_index_answers_everything() -> None:
    index = Index()

    assert (len(index), list(index), index.keys(0, 0), index.ids(0, 0), index.newest) == (0, [], [], [], None)
    assert (index.rank(b""), index.rank(b"\xff" * 40)) == (0, 0)
    assert pack_key(1, bytes(32)) not in index
    assert index.fingerprint() == hashlib.sha256(bytes(33)).digest()[:16]


# Computed by hand: what is hashed is the sum in 32 bytes, little-endian, and the count in one byte.
FINGERPRINTS = [
    ([b"\x01" + bytes(31)], "01" + "00" * 31 + "01"),
    ([b"\xff" + bytes(31), b"\x02" + bytes(31)], "0101" + "00" * 30 + "02"),  # the carry goes into the next byte
    ([b"\xff" * 32, b"\x01" + bytes(31)], "00" * 32 + "02"),  # a carry out of the last byte is lost
]


@pytest.mark.parametrize(("ids", "hashed"), FINGERPRINTS)
def test_a_fingerprint_hashes_the_little_endian_sum_and_the_count(ids: list[bytes], hashed: str) -> None:
    index = Index(pack_key(1, record_id) for record_id in ids)

    fingerprint = index.fingerprint()

    assert fingerprint == hashlib.sha256(bytes.fromhex(hashed)).digest()[:16]


@given(before=st.lists(few_keys), added=st.lists(few_keys))
def test_a_key_is_added_once(before: list[bytes], added: list[bytes]) -> None:
    index = Index(before)
    model = set(before)

    for key in added:
        assert index.add(key) == (key not in model)
        model.add(key)

    assert list(index) == sorted(model)
    assert (len(index), index.fingerprint()) == (len(model), fingerprint_of(sorted(model)))


class AgainstASortedList(RuleBasedStateMachine):
    """Any sequence of additions and questions. The first set is large enough for several blocks and for splits."""

    @initialize(
        count=st.sampled_from([0, 1, 511, 512, 513, 1_024, 2_000]),
        seed=st.integers(0, 3),
        busy=st.sampled_from([0, 1, 8]),
    )
    def fill(self, count: int, seed: int, busy: int) -> None:
        self.model = random_keys(count, seed)
        self.index = Index(Random(seed).sample(self.model, count), BusyBlocks(busy))
        self.random = Random(seed + 1_000)

    @rule(count=st.integers(1, 600), is_late=st.booleans())
    def add_many(self, count: int, is_late: bool) -> None:
        """Add keys at the end, as live records come, or at one place in the past."""
        live_second = 1_800_000_000 + len(self.model)
        second = self.random.randrange(1_600_000_000, 1_700_001_000) if is_late else live_second
        for _ in range(count):
            key = pack_key(second, self.random.randbytes(32))
            assert self.index.add(key)
            self.model.insert(bisect_left(self.model, key), key)

    @rule(count=st.integers(0, 1_500), known=st.integers(0, 100), first=st.sampled_from([1_600_000_000, 1_700_000_000]))
    def extend(self, count: int, known: int, first: int) -> None:
        """Add a page of keys at once: some are held already, some belong before the end, some after it."""
        seconds = [first + self.random.randrange(200_000_000) for _ in range(count)]
        page = [pack_key(second, self.random.randbytes(32)) for second in seconds]
        page += self.random.choices(self.model, k=known) if self.model else []
        self.index.extend(page)
        self.model = sorted({*self.model, *page})

    @rule(key=few_keys)
    def add_one(self, key: bytes) -> None:
        assert self.index.add(key) == (key not in self.model)
        self.model = sorted({*self.model, key})

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def add_again(self, data: st.DataObject) -> None:
        assert not self.index.add(data.draw(st.sampled_from(self.model)))

    @rule(data=st.data())
    def ask_for_a_range(self, data: st.DataObject) -> None:
        begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(self.model))] * 2)))
        assert self.index.keys(begin, end) == self.model[begin:end]
        assert self.index.ids(begin, end) == [key_id(key) for key in self.model[begin:end]]
        assert self.index.fingerprint(begin, end) == fingerprint_of(self.model[begin:end])

    @precondition(lambda self: self.model)
    @rule(data=st.data(), length=st.integers(0, KEY_BYTES))
    def ask_for_a_rank(self, data: st.DataObject, length: int) -> None:
        rank = data.draw(st.integers(0, len(self.model) - 1))
        key = self.model[rank]
        bound = key[:length]
        assert (self.index.key_at(rank), self.index.rank(key), key in self.index) == (key, rank, True)
        assert self.index.rank(bound) == bisect_left(self.model, bound.ljust(KEY_BYTES, b"\0"))

    @rule(key=few_keys)
    def ask_for_one(self, key: bytes) -> None:
        assert (key in self.index) == (key in self.model)

    @invariant()
    def is_the_same_set(self) -> None:
        assert len(self.index) == len(self.model)
        assert self.index.newest == (key_timestamp(self.model[-1]) if self.model else None)
        assert self.index.fingerprint() == fingerprint_of(self.model)


TestAgainstASortedList = AgainstASortedList.TestCase
TestAgainstASortedList.settings = settings(max_examples=30, stateful_step_count=15)


def test_busy_blocks_of_all_indexes_share_one_limit() -> None:
    busy = BusyBlocks(blocks_max=2)
    indexes = [Index(random_keys(500, seed), busy) for seed in range(3)]

    for index in indexes:
        key = index.key_at(100)
        assert all(key in index for _ in range(1_000))

    assert [block.keys is not None for index in indexes for block in index._blocks] == [False, True, True]


ORDERS: list[Callable[[list[bytes]], list[bytes]]] = [
    lambda keys: keys,
    lambda keys: keys[::-1],
    lambda keys: Random(1).sample(keys, len(keys)),
]


@pytest.mark.parametrize("arrange", ORDERS, ids=["rising", "falling", "shuffled"])
def test_the_order_in_which_keys_were_added_makes_no_difference(arrange: Callable[[list[bytes]], list[bytes]]) -> None:
    keys = random_keys(5_000)
    one_by_one = Index()

    added = [one_by_one.add(key) for key in arrange(keys)]

    at_once = Index(arrange(keys + keys))
    corners = [0, 1, 255, 256, 257, 511, 512, 513, 1_024, 2_500, 4_999, 5_000]
    assert added == [True] * 5_000
    assert list(one_by_one) == list(at_once) == keys
    for begin, end in pairwise(corners):
        assert one_by_one.fingerprint(begin, end) == at_once.fingerprint(begin, end) == fingerprint_of(keys[begin:end])
        assert one_by_one.fingerprint(begin) == at_once.fingerprint(begin) == fingerprint_of(keys[begin:])


def test_a_page_that_was_read_does_not_change_when_the_index_grows() -> None:
    """A page of keys is sent over many turns of the event loop, while new records arrive."""
    keys = random_keys(1_000)
    index = Index(keys[::2])
    page = index.keys(100, 400)

    for key in keys:
        index.add(key)

    assert page == keys[200:800:2]


def test_a_key_takes_less_than_60_bytes_of_memory_in_any_order_of_addition() -> None:
    """A million keys should fit into 60 MB. With random insertions, blocks are on average at least two thirds full."""
    keys = Random(1).sample(random_keys(20_000), 20_000)

    tracemalloc.start()
    index = Index(keys[:2_000])
    for key in keys[2_000:]:
        index.add(key)
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(index) == 20_000
    assert held_bytes / 20_000 < 60

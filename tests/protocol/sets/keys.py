"""Keys of sets, for the tests of negentropy."""

from random import Random

from protocol.sets.index import key_id, pack_key


def record_id(*first_bytes: int) -> bytes:
    return bytes(first_bytes).ljust(32, b"\0")


def random_keys(count: int, seed: int = 1, per_second: int = 3) -> list[bytes]:
    random = Random(seed)
    return [pack_key(1_700_000_000 + number // per_second, random.randbytes(32)) for number in range(count)]


def ids_of(keys: list[bytes]) -> set[bytes]:
    return {key_id(key) for key in keys}

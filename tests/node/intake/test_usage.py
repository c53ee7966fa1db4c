"""Quotas by domain and by key: one past each limit is refused, peers are counted and never refused."""

import asyncio
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.intake.usage import KEYS_CACHED_MAX, Usage
from node.settings.write_tables import write_policy_of
from protocol.errors import Code, ProtocolError
from protocol.records.admission import Amount
from protocol.records.outcome import Outcome
from protocol.records.record import Record
from protocol.signing import SigningKey
from tests.history import ALICE, BOB, PEOPLE, claim, signed
from tests.node.intake.pipeline import CLIENT as CLIENTS
from tests.node.intake.pipeline import NOW, PEER, Pipeline, pipeline, submission
from tests.waiting import until


def record(number: int, by: SigningKey = ALICE, domain: str = "example", **fields: Any) -> Record:
    return claim(f"label-{number}", by, NOW, domain=domain, **fields)


READ_AT_ONCE = 1_000
"""Keys that one call reads, because a call keeps all of its keys."""

SIZE: int = len(record(0).canonical)


def codes(outcomes: list[Outcome]) -> list[str | None]:
    return [outcome.code for outcome in outcomes]


QUOTAS: dict[str, tuple[dict[str, Any], str, int]] = {
    "records of a domain": ({"domain_records_max": 2}, "domain_records_max", 2),
    "bytes of a domain": ({"domain_bytes_max": 2 * SIZE}, "domain_bytes_max", 2 * SIZE),
    "records of a key": ({"key_records_max": 2}, "key_records_max", 2),
    "bytes of a key": ({"key_bytes_max": 2 * SIZE}, "key_bytes_max", 2 * SIZE),
}


@pytest.mark.parametrize(("chosen", "quota", "limit"), QUOTAS.values(), ids=QUOTAS.keys())
@pytest.mark.parametrize("is_one_group", [True, False], ids=["one group", "one by one"])
async def test_one_past_each_quota_is_refused_with_its_name(
    tmp_path: Path, chosen: dict[str, Any], quota: str, limit: int, is_one_group: bool
) -> None:
    records = [record(number) for number in range(3)]

    async with pipeline(tmp_path, **chosen) as it:
        if is_one_group:
            outcomes = await it.take(*records)
        else:
            outcomes = [(await it.take(each))[0] for each in records]

    assert sorted(codes(outcomes), key=str) == [None, None, "quota_exceeded"]
    (refused,) = (each for each in outcomes if each.code is not None)
    assert refused.facts == {"quota": quota, "limit": limit}


@pytest.mark.parametrize(("chosen", "quota", "limit"), QUOTAS.values(), ids=QUOTAS.keys())
async def test_a_quota_holds_after_a_restart(tmp_path: Path, chosen: dict[str, Any], quota: str, limit: int) -> None:
    async with pipeline(tmp_path, **chosen) as it:
        await it.take(record(0), record(1))
    async with pipeline(tmp_path, **chosen) as it:
        outcomes = await it.take(record(2))

    assert codes(outcomes) == ["quota_exceeded"]


@pytest.mark.parametrize(("chosen", "quota", "limit"), QUOTAS.values(), ids=QUOTAS.keys())
async def test_what_a_peer_brings_is_counted_and_never_refused(
    tmp_path: Path, chosen: dict[str, Any], quota: str, limit: int
) -> None:
    async with pipeline(tmp_path, **chosen) as it:
        brought = await it.take(*(record(number) for number in range(5)), origin=PEER)
        written = await it.take(record(5))

    assert codes(brought) == [None] * 5
    assert codes(written) == ["quota_exceeded"]


async def test_other_domains_and_keys_have_quotas_of_their_own(tmp_path: Path) -> None:
    async with pipeline(tmp_path, domain_records_max=1, key_records_max=1) as it:
        outcomes = [
            (await it.take(each))[0]
            for each in (record(1), record(2, BOB, "other"), record(3, BOB, "third"), record(4, PEOPLE[2], "other"))
        ]

    assert codes(outcomes) == [None, None, "quota_exceeded", "quota_exceeded"]
    assert [outcomes[2].facts["quota"], outcomes[3].facts["quota"]] == ["key_records_max", "domain_records_max"]


async def test_a_quota_is_checked_last(tmp_path: Path) -> None:
    """The owner hears that the record is stale, and a stranger that the label has an owner."""
    first = claim("garden", ALICE, NOW)

    async with pipeline(tmp_path, domain_records_max=1) as it:
        await it.take(first)
        known = await it.take(first)
        refused = await it.take(claim("garden", BOB, NOW + 1), claim("garden", ALICE, NOW - 1))

    assert [each.status for each in known] == ["known"]
    assert sorted(codes(refused), key=str) == ["not_owner", "stale"]


async def test_records_that_are_not_on_disk_yet_count(tmp_path: Path) -> None:
    """A key is read from the store while records of it that a peer brought wait for their commit."""
    async with pipeline(tmp_path, key_records_max=20) as it:
        bringing = asyncio.create_task(it.take(*map(record, range(20)), origin=PEER))
        await until(lambda: bool(it.commits.uncommitted))  # the pipeline tells nobody that it decided
        writing = [asyncio.create_task(it.take(record(number))) for number in range(20, 24)]
        brought = await bringing
        written = [(await task)[0] for task in writing]

    assert codes(brought) == [None] * 20
    assert codes(written) == ["quota_exceeded"] * 4


@pytest.mark.parametrize("others", [KEYS_CACHED_MAX - 1, KEYS_CACHED_MAX])
async def test_one_key_past_those_in_memory_takes_the_place_of_the_key_unused_for_longest(
    tmp_path: Path, others: int
) -> None:
    """A writer whose key has left memory meanwhile is told to come back, because nobody knows what it holds here."""
    async with pipeline(tmp_path, key_records_max=1) as it:
        usage = it.ingest.usage
        await usage.read_keys([ALICE.public])
        for begin in range(0, others, READ_AT_ONCE):
            await usage.read_keys([f"{number:064x}" for number in range(begin, min(begin + READ_AT_ONCE, others))])

        if others < KEYS_CACHED_MAX:
            usage.check(record(0))
            return
        with pytest.raises(ProtocolError) as refused:
            usage.check(record(0))

    assert refused.value.code is Code.OVERLOADED


async def test_singles_of_one_turn_do_not_pass_a_quota_together(tmp_path: Path) -> None:
    async with pipeline(tmp_path, key_records_max=3) as it:
        taking = (it.ingest.take_one(submission(signed(record(number))), CLIENTS) for number in range(8))
        outcomes = await asyncio.gather(*taking)

    assert sorted(codes(list(outcomes)), key=str) == [None] * 3 + ["quota_exceeded"] * 5


async def test_late_records_are_counted(tmp_path: Path) -> None:
    late = [claim("garden", ALICE, at, n=at) for at in range(NOW - 3, NOW)]

    async with pipeline(tmp_path, key_records_max=5) as it:
        await it.take(claim("garden", ALICE, NOW), origin=PEER)
        for each in late:
            await it.take(each, origin=PEER)
        outcomes = [(await it.take(record(number)))[0] for number in range(2)]
        held = it.ingest.usage.domains["example"].records
        stored = (await it.store.domain_usage())["example"].records

    assert codes(outcomes) == [None, "quota_exceeded"]
    assert held == stored == 5


async def test_the_table_of_a_domain_changes_its_quota(tmp_path: Path) -> None:
    write = write_policy_of({"large": {"domain_records_max": 2}, "any": {"domain_records_max": "none"}})

    async with pipeline(tmp_path, domain_records_max=1, write=write) as it:
        outcomes = {
            domain: codes([(await it.take(record(number, domain=domain)))[0] for number in range(3)])
            for domain in ("small", "large", "any")
        }

    assert outcomes == {
        "small": [None, "quota_exceeded", "quota_exceeded"],
        "large": [None, None, "quota_exceeded"],
        "any": [None, None, None],
    }


async def test_a_dropped_domain_makes_room(tmp_path: Path) -> None:
    async with pipeline(tmp_path, domain_records_max=1) as it:
        await it.take(record(0))
        it.ingest.usage.forget_domain("example")
        outcomes = await it.take(record(1))

    assert codes(outcomes) == [None]


async def test_a_key_that_was_dropped_during_a_long_replay_is_asked_for_again_later(tmp_path: Path) -> None:
    async with pipeline(tmp_path, key_records_max=1) as it:
        with pytest.raises(ProtocolError) as refused:
            it.ingest.usage.check(record(0))

    assert (refused.value.code, refused.value.facts) == (Code.OVERLOADED, {"retry_after": 1})


STEPS = st.lists(
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from(["a", "b"]), st.booleans(), st.integers(0, 40)),
    max_size=14,
)


async def play(folder: Path, steps: list[tuple[SigningKey, str, bool, int]], chosen: dict[str, Any]) -> None:
    held: dict[str, Amount] = defaultdict(Amount)
    async with pipeline(folder, **chosen) as it:
        for number, (by, domain, is_peer, padding) in enumerate(steps):
            each = record(number, by, domain, text="x" * padding)
            size_bytes = len(each.canonical)
            fits = all(
                chosen.get(f"{kind}_records_max", 99) > held[name].records
                and chosen.get(f"{kind}_bytes_max", 99_999) >= held[name].size_bytes + size_bytes
                for kind, name in (("domain", domain), ("key", by.public))
            )
            (outcome,) = await it.take(each, origin=PEER if is_peer else CLIENTS)

            assert outcome.code == (None if is_peer or fits else "quota_exceeded")
            if outcome.code is None:
                held[domain].add(1, size_bytes)
                held[by.public].add(1, size_bytes)
        await _check_stored(it, held)


async def _check_stored(it: Pipeline, held: dict[str, Amount]) -> None:
    usage: Usage = it.ingest.usage
    assert usage.domains == await it.store.domain_usage()
    assert {name: held[name] for name in usage.domains} == usage.domains
    for key, amount in (await it.store.key_usage([each.public for each in PEOPLE])).items():
        assert amount == held[key]


@given(STEPS, st.integers(0, 5), st.integers(0, 5), st.integers(0, 2_000))
@settings(max_examples=25)
def test_a_record_is_refused_exactly_if_a_quota_would_be_passed(
    steps: list[tuple[SigningKey, str, bool, int]], of_domain: int, of_key: int, bytes_of_key: int
) -> None:
    chosen = {"domain_records_max": of_domain, "key_records_max": of_key, "key_bytes_max": bytes_of_key}
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(Path(folder), steps, chosen))

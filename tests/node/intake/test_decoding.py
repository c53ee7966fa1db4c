"""Bytes that are not canonical cost more than others. So they count more, and a thread decodes large ones."""

import asyncio
from collections.abc import Hashable
from pathlib import Path
from random import Random

import pytest

from node.fairness.turns import Turns
from node.intake.arrivals import Origin, Submission
from node.intake.decoding import INLINE_BYTES_MAX, Decoding
from node.intake.room import Room
from node.settings.settings import Settings
from node.world import World
from protocol.errors import Code, ProtocolError
from protocol.records.admission import Trust
from protocol.records.outcome import Status
from protocol.records.quota import BURST_S, EXACT_WEIGHT
from protocol.records.record import Record, decode
from tests.history import claim, signed
from tests.node.intake.pipeline import NOW, pipeline, submission

ADDRESS = "192.0.2.1"
STRANGER = Origin(Trust.CLIENT, address=ADDRESS)
LINK = 7
NO_SIGNATURE = "00" * 64

SMALL = b" " * (INLINE_BYTES_MAX - len(claim("garden").canonical)) + claim("garden").canonical
"""The largest record with bytes that are not canonical that is decoded at once."""

LARGE = b" " + SMALL
"""One byte more."""

HALF = 0.5
"""A number that only the exact way decodes."""

SLOW_CLAIMS = 8
SLOW_CLAIMS_BEFORE_QUICK_MAX = 2


class NotingDecoder:
    """A decoder that decodes at once, and notes each source."""

    def __init__(self) -> None:
        self.sources: list[Hashable] = []

    async def decode(self, data: bytes, source: Hashable) -> Record:
        self.sources.append(source)
        return decode(data)

    def close(self) -> None:
        """Do nothing, because no thread runs."""


def make(decoder: NotingDecoder) -> Decoding:
    return Decoding(decoder, Room(Settings(), World(now_s=lambda: NOW, random=Random(0))), Turns())


@pytest.mark.parametrize(
    ("body", "sources"),
    [
        (claim("garden").canonical, []),
        (SMALL, []),
        (LARGE, [ADDRESS]),
        (claim("garden", f=[HALF] * INLINE_BYTES_MAX).canonical, [ADDRESS]),
    ],
    ids=["canonical", "small", "large", "fractions"],
)
async def test_only_large_records_that_are_not_plainly_canonical_are_decoded_elsewhere(
    body: bytes, sources: list[Hashable]
) -> None:
    decoder = NotingDecoder()

    it = await make(decoder).decode(Submission(NO_SIGNATURE, body), STRANGER)

    assert it.record == decode(body)
    assert decoder.sources == sources


async def test_without_an_address_a_record_counts_for_its_link() -> None:
    decoder = NotingDecoder()
    body = claim("garden", f=[HALF] * INLINE_BYTES_MAX).canonical

    await make(decoder).decode(Submission(NO_SIGNATURE, body), Origin(Trust.PEER), LINK)

    assert decoder.sources == [LINK]


async def test_one_record_that_is_not_canonical_may_use_up_the_quota_of_its_address(tmp_path: Path) -> None:
    rate = EXACT_WEIGHT * len(SMALL) / BURST_S - 1.0
    body, exact = signed(claim("shed", at=NOW)), Submission(NO_SIGNATURE, SMALL)

    async with pipeline(tmp_path, bytes_per_second_max=rate) as it:
        first = await it.ingest.take_one(exact, STRANGER)
        with pytest.raises(ProtocolError) as refused:
            await it.ingest.take_one(submission(body), STRANGER)

    assert first.code is Code.BAD_SIGNATURE
    assert refused.value.code is Code.RATE_LIMITED


async def test_known_records_count_as_much_as_new_ones(tmp_path: Path) -> None:
    """Otherwise a stranger could send one record for ever, and each time it would be decoded the exact way."""
    record = signed(claim("garden", at=NOW, f=HALF))
    times = 3
    rate = (times * EXACT_WEIGHT * len(record.record.canonical) - 1) / BURST_S

    async with pipeline(tmp_path, bytes_per_second_max=rate) as it:
        statuses = [(await it.ingest.take_one(submission(record), STRANGER)).status for _ in range(times)]
        with pytest.raises(ProtocolError) as refused:
            await it.ingest.take_one(submission(record), STRANGER)

    assert statuses == [Status.ACCEPTED, Status.KNOWN, Status.KNOWN]
    assert refused.value.code is Code.RATE_LIMITED


async def test_a_single_claim_does_not_wait_for_others_that_take_long_to_decode(tmp_path: Path) -> None:
    halves = [HALF] * 10_000
    slow = [submission(signed(claim(f"slow-{number}", at=NOW, f=halves))) for number in range(SLOW_CLAIMS)]
    done: list[str] = []

    async with pipeline(tmp_path) as it:

        async def put(name: str, each: Submission) -> None:
            await it.ingest.take_one(each, STRANGER)
            done.append(name)

        async with asyncio.TaskGroup() as group:
            for each in slow:
                group.create_task(put("slow", each))
            group.create_task(put("quick", submission(signed(claim("quick", at=NOW)))))

    assert done.index("quick") <= SLOW_CLAIMS_BEFORE_QUICK_MAX

"""The operator's program in the intake: what it is told, what it decides, and what its faults cost."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import pytest

from node.intake.arrivals import Origin
from node.intake.asking import FORESEEN_AT_ONCE
from protocol.errors import Code
from protocol.records.admission import Trust
from protocol.records.outcome import Outcome, Status
from protocol.records.record import SignedRecord
from protocol.records.write_policy import WritePolicy, WriteRules
from tests.history import ALICE, BOB, DOMAIN, claim, offer, signed
from tests.node.intake.pipeline import CLIENT, NOW, PEER, Pipeline, codes, pipeline, submission
from tests.node.write_plugin.programs import ACCEPTING, REJECTING_SPAM, SILENT, program

STRANGER: Final = Origin(Trust.CLIENT, address="192.0.2.7")

NOTING: Final = """
notes = open(sys.argv[1], 'a')
for it in lines():
    print(json.dumps(it), file=notes, flush=True)
    say(id=it['id'], action='accept')
"""


def noting(folder: Path) -> tuple[list[str], Path]:
    """A program that accepts everything and notes what it is asked, and the file of its notes."""
    notes = folder / "notes"
    return [*program(folder, NOTING), str(notes)], notes


def asked(notes: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []


async def take_each(it: Pipeline, *records: SignedRecord, origin: Origin = CLIENT) -> list[Outcome]:
    return await asyncio.gather(*(it.ingest.take_one(submission(record), origin) for record in records))


async def test_the_program_is_told_the_record_who_brings_it_and_the_verdict_it_would_get(tmp_path: Path) -> None:
    command, notes = noting(tmp_path)
    record = signed(claim("garden", at=NOW, n=1.5))

    async with pipeline(tmp_path, write_plugin=command) as it:
        outcome = await it.ingest.take_one(submission(record), STRANGER)

    assert outcome.status is Status.ACCEPTED
    assert asked(notes) == [
        {
            "id": record.record.id,
            "domain": DOMAIN,
            "label": "garden",
            "signedby": ALICE.public,
            "timestamp": NOW,
            "trust": "client",
            "address": "192.0.2.7",
            "record": json.loads(record.record.canonical),
            "verdict": "founded",
        }
    ]


async def test_a_batch_is_asked_about_as_if_each_record_before_were_taken(tmp_path: Path) -> None:
    command, notes = noting(tmp_path)
    founder = claim("garden", at=NOW - 9)
    sold = offer("garden", ALICE, BOB, NOW - 8, prev=founder)
    records = [founder, sold, claim("garden", by=BOB, at=NOW - 7, prev=sold), claim("garden", by=ALICE, at=NOW - 6)]

    async with pipeline(tmp_path, write_plugin=command) as it:
        outcomes = await it.take(*records)

    assert [line["verdict"] for line in asked(notes)] == ["founded", "offered", "transferred", "not_owner"]
    assert codes(outcomes) == [Status.ACCEPTED] * 3 + [Code.NOT_OWNER]


async def test_a_batch_of_many_records_of_one_label_is_asked_about_as_if_each_before_were_taken(
    tmp_path: Path,
) -> None:
    """The verdicts are foreseen some records at a time."""
    command, notes = noting(tmp_path)
    count = 2 * FORESEEN_AT_ONCE + 1
    records = [claim("garden", at=NOW - count + number) for number in range(count)]

    async with pipeline(tmp_path, write_plugin=command) as it:
        outcomes = await it.take(*reversed(records))

    assert [line["id"] for line in asked(notes)] == [record.id for record in records]
    assert [line["verdict"] for line in asked(notes)] == ["founded"] + ["updated"] * (count - 1)
    assert codes(outcomes) == [Status.ACCEPTED] * count


async def test_a_rejected_record_is_not_welcome_with_the_words_of_the_program(tmp_path: Path) -> None:
    async with pipeline(tmp_path, write_plugin=program(tmp_path, REJECTING_SPAM)) as it:
        batch = await it.take(claim("spam", at=NOW), claim("garden", at=NOW))
        singles = await take_each(it, signed(claim("spam2", at=NOW)), signed(claim("garden2", at=NOW)))

    assert [codes(batch), codes(singles)] == [[Code.NOT_WELCOME, Status.ACCEPTED]] * 2
    assert (batch[0].detail, batch[0].facts) == ("no spam, please", {"rule": "write_plugin"})


async def test_peers_and_known_records_and_what_the_rules_refuse_are_not_asked_about(tmp_path: Path) -> None:
    command, notes = noting(tmp_path)
    rules = WritePolicy(WriteRules(banned_keys=frozenset({BOB.public})))
    known = claim("garden", at=NOW)

    async with pipeline(tmp_path, write_plugin=command, write=rules) as it:
        await it.take(known, claim("bobs", by=BOB, at=NOW), origin=PEER)
        outcomes = await it.take(known, claim("other", by=BOB, at=NOW))

    assert codes(outcomes) == [Status.KNOWN, Code.NOT_WELCOME]
    assert asked(notes) == []


async def test_a_forged_record_is_never_asked_about(tmp_path: Path) -> None:
    command, notes = noting(tmp_path)
    forged = SignedRecord("00" * 64, claim("garden", at=NOW))

    async with pipeline(tmp_path, write_plugin=command) as it:
        outcomes = await take_each(it, forged)

    assert (codes(outcomes), asked(notes)) == ([Code.BAD_SIGNATURE], [])


async def test_a_record_twice_in_a_batch_is_asked_about_once_and_refused_twice(tmp_path: Path) -> None:
    """Otherwise the second one would come in without a question."""
    record = claim("spam", at=NOW)

    async with pipeline(tmp_path, write_plugin=program(tmp_path, REJECTING_SPAM)) as it:
        outcomes = await it.take(record, record)
        assert not it.indexes.holds(record)

    assert codes(outcomes) == [Code.NOT_WELCOME] * 2


async def test_a_record_that_follows_a_rejected_one_is_not_taken_as_something_else(tmp_path: Path) -> None:
    """The program was told that the second record is an update. It must not found the label after all."""
    body = "for it in lines(): say(id=it['id'], action='reject' if it['verdict'] == 'founded' else 'accept')\n"
    records = [claim("garden", at=NOW - 1), claim("garden", at=NOW)]

    async with pipeline(tmp_path, write_plugin=program(tmp_path, body)) as it:
        outcomes = await it.take(*records)
        again = await it.take(records[1])

    assert codes(outcomes) == [Code.NOT_WELCOME, Code.OVERLOADED]
    assert codes(again) == [Code.NOT_WELCOME]


async def test_answers_may_come_in_any_order_and_records_of_one_label_keep_theirs(tmp_path: Path) -> None:
    """The program answers two questions at a time, the later one first. An update comes last, and alone."""
    body = """
held = []
for it in lines():
    held.append(it)
    if len(held) == 2 or it['verdict'] == 'updated':
        for each in reversed(held):
            say(id=each['id'], action='accept')
        held = []
"""
    first, second = (signed(claim("garden", at=NOW + number)) for number in range(2))
    others = [signed(claim(name, at=NOW)) for name in ("a", "b", "c")]

    async with pipeline(tmp_path, write_plugin=program(tmp_path, body)) as it:
        outcomes = await take_each(it, first, second, *others)

    assert codes(outcomes) == [Status.ACCEPTED] * 5
    assert [outcome.verdict for outcome in outcomes[:2]] == ["founded", "updated"]


async def test_one_slow_answer_delays_no_record_of_another_label(tmp_path: Path) -> None:
    """The program holds back its answer about `slow` until it is asked about `go`, which comes last."""
    body = """
held = []
for it in lines():
    if it['label'] == 'slow' and it['verdict'] == 'founded':
        held.append(it)
        continue
    say(id=it['id'], action='accept')
    if it['label'] == 'go':
        for each in held:
            say(id=each['id'], action='accept')
"""
    async with pipeline(tmp_path, write_plugin=program(tmp_path, body)) as it:
        slow = asyncio.ensure_future(it.take(claim("slow", at=NOW), claim("with-slow", at=NOW)))
        turn = asyncio.ensure_future(it.ingest.take_one(submission(signed(claim("slow", by=BOB, at=NOW))), CLIENT))
        others = await take_each(it, *(signed(claim(str(number), at=NOW)) for number in range(200)))
        batch = await it.take(*(claim(f"batch {number}", at=NOW) for number in range(200)))
        was_waiting = not slow.done() and not turn.done()
        await take_each(it, signed(claim("go", at=NOW)))
        ends = [*await slow, await turn]

    assert {*codes(others), *codes(batch)} == {Status.ACCEPTED}
    assert was_waiting
    assert codes(ends) == [Status.ACCEPTED, Status.ACCEPTED, Code.NOT_OWNER]


async def test_what_gets_no_answer_in_time_is_told_to_come_back_and_the_room_is_free(tmp_path: Path) -> None:
    async with pipeline(tmp_path, write_plugin=program(tmp_path, SILENT), write_plugin_timeout=0.2) as it:
        batch = await it.take(claim("a", at=NOW), claim("b", at=NOW))
        singles = await take_each(it, *(signed(claim(name, at=NOW)) for name in "cc"))
        [from_peer] = await it.take(claim("d", at=NOW), origin=PEER)
        assert it.ingest.room.records == 0

    assert {*codes(batch), *codes(singles)} == {Code.OVERLOADED}
    assert all(outcome.facts["retry_after"] for outcome in batch)
    assert from_peer.status is Status.ACCEPTED


async def test_a_refusal_for_want_of_an_answer_counts_against_no_quota(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"write_plugin_timeout": 0.2, "refused_per_minute_max": 1.0}

    async with pipeline(tmp_path, write_plugin=program(tmp_path, SILENT), **settings) as it:
        outcomes = [await it.ingest.take_one(submission(signed(claim(f"{n}", at=NOW))), STRANGER) for n in range(3)]

    assert codes(outcomes) == [Code.OVERLOADED] * 3


@pytest.mark.parametrize("count", [1, 3])
async def test_a_client_that_goes_while_the_program_is_asked_leaves_the_label_free(tmp_path: Path, count: int) -> None:
    body = SILENT.replace("pass", "it['label'] == 'other' and say(id=it['id'], action='accept')")

    async with pipeline(tmp_path, write_plugin=program(tmp_path, body), write_plugin_timeout=600.0) as it:
        gone = [
            asyncio.ensure_future(it.take(claim("garden", at=NOW + n), claim("x", at=NOW + n))) for n in range(count)
        ]
        await it.take(claim("other", at=NOW))
        for each in gone:
            each.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        assert it.ingest.room.records == 0
        outcomes = await it.take(claim("other", at=NOW + 1))

    assert codes(outcomes) == [Status.ACCEPTED]


async def test_a_program_that_takes_5_ms_a_record_costs_throughput_and_nothing_else(tmp_path: Path) -> None:
    body = ACCEPTING.replace("say(", "time.sleep(0.005); say(")

    async with pipeline(tmp_path, write_plugin=program(tmp_path, body)) as it:
        batch = asyncio.ensure_future(it.take(*(claim(f"{number}", at=NOW) for number in range(200))))
        await asyncio.sleep(0)
        [single] = await take_each(it, signed(claim("single", at=NOW)))
        is_first = not batch.done()
        assert it.plugin is not None
        assert list(it.plugin.warnings()) == []
        outcomes = await batch

    assert {single.status, *codes(outcomes)} == {Status.ACCEPTED}
    assert is_first

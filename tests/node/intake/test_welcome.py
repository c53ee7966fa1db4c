"""The operator's rules in the intake: whom they refuse, in which order, and what they leave alone."""

import asyncio
from pathlib import Path
from typing import Any, Final

import pytest

from node.intake.arrivals import Origin
from protocol.errors import Code
from protocol.records.admission import NEEDS_NO_HEAD, Trust
from protocol.records.outcome import Status
from protocol.records.record import Record, SignedRecord
from protocol.records.write_policy import WritePolicy, WriteRules
from tests.history import ALICE, BOB, CAROL, DOMAIN, claim, offer, signed
from tests.node.intake.pipeline import CLIENT, NOW, PEER, codes, pipeline, submission

A, B = ALICE.public, BOB.public
BANNED: Final = WriteRules(banned_keys=frozenset({B}))
TWO: Final = WriteRules(labels_per_founder_max=2)
WANTED: Final = Origin(Trust.CLIENT, precondition=NEEDS_NO_HEAD)


def policy(rules: WriteRules) -> WritePolicy:
    return WritePolicy(rules)


async def test_a_banned_key_may_not_write_as_a_client_and_nothing_is_stored(tmp_path: Path) -> None:
    async with pipeline(tmp_path, write=policy(BANNED)) as it:
        [refused] = await it.take(claim("garden", by=BOB, at=NOW))
        [accepted] = await it.take(claim("garden", by=ALICE, at=NOW))

    assert (refused.code, refused.facts) == (Code.NOT_WELCOME, {"rule": "banned_keys"})
    assert accepted.status is Status.ACCEPTED


async def test_a_peer_brings_the_records_of_a_banned_key(tmp_path: Path) -> None:
    """Otherwise the sets of nodes whose operators differ could never become equal."""
    async with pipeline(tmp_path, write=policy(BANNED)) as it:
        outcomes = await it.take(claim("garden", by=BOB, at=NOW), origin=PEER)

    assert codes(outcomes) == [Status.ACCEPTED]


async def test_a_record_that_a_peer_brought_is_known_to_a_client_who_is_not_welcome(tmp_path: Path) -> None:
    record = claim("garden", by=BOB, at=NOW)

    async with pipeline(tmp_path, write=policy(BANNED)) as it:
        await it.take(record, origin=PEER)
        outcomes = await it.take(record)

    assert codes(outcomes) == [Status.KNOWN]


LATER_CHECKS: list[tuple[Record, Origin]] = [
    (claim("garden", by=BOB, at=NOW), WANTED),
    (claim("garden", by=BOB, at=NOW - 1_000), CLIENT),
    (claim("garden", by=BOB, at=NOW + 1_000), CLIENT),
    (claim("garden", by=BOB, at=NOW, prev="0" * 64), CLIENT),
    (claim("garden", by=BOB, at=NOW), CLIENT),
]


@pytest.mark.parametrize(("record", "origin"), LATER_CHECKS)
async def test_the_rules_come_before_all_checks_of_the_head_and_of_the_time(
    tmp_path: Path, record: Record, origin: Origin
) -> None:
    async with pipeline(tmp_path, write=policy(BANNED)) as it:
        await it.take(claim("garden", by=ALICE, at=NOW - 10))
        outcomes = await it.take(record, origin=origin)

    assert codes(outcomes) == [Code.NOT_WELCOME]


async def test_a_forged_record_of_a_banned_key_is_refused_as_forged(tmp_path: Path) -> None:
    forged = SignedRecord("00" * 64, claim("garden", by=BOB, at=NOW))

    async with pipeline(tmp_path, write=policy(BANNED)) as it:
        outcomes = await it.ingest.take([submission(forged)], CLIENT)

    assert codes(outcomes) == [Code.BAD_SIGNATURE]


async def test_who_may_not_found_may_take_over_and_write_to_what_others_founded(tmp_path: Path) -> None:
    async with pipeline(tmp_path, write=policy(WriteRules(founders=frozenset({A})))) as it:
        await it.take(claim("garden", by=ALICE, at=NOW - 9), offer("garden", ALICE, BOB, NOW - 8))
        outcomes = await it.take(
            claim("garden", by=BOB, at=NOW - 7), claim("garden", by=BOB, at=NOW - 6), claim("bobs", by=BOB, at=NOW)
        )

    assert codes(outcomes) == [Status.ACCEPTED, Status.ACCEPTED, Code.NOT_WELCOME]


async def test_a_key_founds_as_many_labels_as_it_may_in_one_group_and_over_several(tmp_path: Path) -> None:
    async with pipeline(tmp_path, write=policy(TWO)) as it:
        together = await it.take(*(claim(name, at=NOW) for name in "abc"))
        later = await it.take(claim("d", at=NOW))
        update = await it.take(claim("a", at=NOW + 1))
        other = await it.take(claim("d", by=BOB, at=NOW))

    assert sorted(codes(together)) == sorted([Status.ACCEPTED, Status.ACCEPTED, Code.NOT_WELCOME])
    assert [codes(each) for each in (later, update, other)] == [[Code.NOT_WELCOME], ["accepted"], ["accepted"]]


async def test_the_number_of_founded_labels_is_right_after_a_restart(tmp_path: Path) -> None:
    async with pipeline(tmp_path, write=policy(TWO)) as it:
        await it.take(claim("a", at=NOW), offer("a", ALICE, BOB, NOW + 1), claim("a", by=BOB, at=NOW + 2))
        await it.take(claim("elsewhere", at=NOW, domain="other"))

    async with pipeline(tmp_path, write=policy(TWO)) as it:
        outcomes = [*await it.take(claim("b", at=NOW)), *await it.take(claim("c", at=NOW))]
        of_the_new_owner = await it.take(claim("d", by=BOB, at=NOW))

    assert codes(outcomes) == [Status.ACCEPTED, Code.NOT_WELCOME]
    assert codes(of_the_new_owner) == [Status.ACCEPTED]


async def test_labels_that_peers_bring_count_for_their_founder_and_are_never_refused(tmp_path: Path) -> None:
    async with pipeline(tmp_path, write=policy(TWO)) as it:
        await it.take(claim("z", at=NOW))
        brought = await it.take(*(claim(name, at=NOW) for name in "abc"), origin=PEER)
        own = await it.take(claim("d", at=NOW))

    assert codes(brought) == [Status.ACCEPTED] * 3
    assert codes(own) == [Code.NOT_WELCOME]


async def test_a_founder_who_loses_a_label_to_an_older_record_may_found_another(tmp_path: Path) -> None:
    async with pipeline(tmp_path, write=policy(WriteRules(labels_per_founder_max=1))) as it:
        await it.take(claim("a", at=NOW))
        before = await it.take(claim("b", at=NOW))
        await it.take(claim("a", by=BOB, at=NOW - 1), origin=PEER)
        after = await it.take(claim("b", at=NOW))
        of_the_winner = await it.take(claim("c", by=BOB, at=NOW))

    assert [codes(each) for each in (before, after, of_the_winner)] == [
        [Code.NOT_WELCOME],
        [Status.ACCEPTED],
        [Code.NOT_WELCOME],
    ]


async def test_singles_of_one_turn_cannot_pass_the_limit_together(tmp_path: Path) -> None:
    async with pipeline(tmp_path, write=policy(TWO)) as it:
        singles = [it.ingest.take_one(submission(signed(claim(str(n), at=NOW))), CLIENT) for n in range(9)]
        outcomes = await asyncio.gather(*singles)

    assert sorted(codes(outcomes)) == sorted([Status.ACCEPTED] * 2 + [Code.NOT_WELCOME] * 7)


async def test_one_domain_may_have_rules_that_another_has_not(tmp_path: Path) -> None:
    rules: dict[str, Any] = {"write": WritePolicy(domains={DOMAIN: WriteRules(writers=frozenset({A}))})}

    async with pipeline(tmp_path, **rules) as it:
        here = await it.take(claim("garden", by=CAROL, at=NOW))
        elsewhere = await it.take(claim("garden", by=CAROL, at=NOW, domain="elsewhere"))

    assert [codes(here), codes(elsewhere)] == [[Code.NOT_WELCOME], [Status.ACCEPTED]]

"""The intake on a real store."""

import asyncio
import sqlite3
from collections.abc import Set
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from node.intake.arrivals import BY_REQUEST, Delivery, Origin, Submission
from node.intake.commits import Committed
from node.intake.group import Group
from node.store.contract import STATES_FEW, LabelKey
from protocol.errors import Code, ProtocolError
from protocol.records.admission import NEEDS_NO_HEAD, Precondition, Trust
from protocol.records.outcome import Status
from protocol.records.quota import BURST_S
from protocol.records.record import Record, SignedRecord
from protocol.records.replay import Verdict
from tests.history import ALICE, BOB, CAROL, DOMAIN, NOWHERE, claim, histories, offer, signed
from tests.node.intake.pipeline import CLIENT, NOW, PEER, WAITING, pipeline, submission

MAX_AGE_S: Final = 300
MAX_SKEW_S: Final = 300
"""The defaults of the settings."""

NO_SIGNATURE: Final = "00" * 64
"""A signature that is well-formed and not genuine."""


async def test_an_accepted_record_is_committed_shown_and_indexed(tmp_path: Path) -> None:
    record = claim("garden", at=NOW)

    async with pipeline(tmp_path) as it:
        [outcome] = await it.take(record)
        head = await it.heads.get(DOMAIN, "garden")

        assert (outcome.status, outcome.verdict, outcome.id) == (Status.ACCEPTED, Verdict.FOUNDED, record.id)
        assert head is not None
        assert head.id == record.id
        assert it.indexes.holds(record)
        assert await it.store.last_event() == 1


async def test_a_new_record_is_announced_once_and_before_its_commit(tmp_path: Path) -> None:
    record = claim("garden", at=NOW)
    announced: list[tuple[list[SignedRecord], Delivery, bool]] = []

    async with pipeline(tmp_path) as it:
        it.ingest.announcers.append(
            lambda records, delivery: announced.append((list(records), delivery, it.indexes.holds(record)))
        )
        await it.take(record, claim("garden", at=NOW - MAX_AGE_S - 1), origin=CLIENT)
        await it.take(record, origin=PEER)

    assert announced == [([signed(record)], BY_REQUEST, False)]


async def test_the_check_of_a_group_begins_before_others_get_a_turn(tmp_path: Path) -> None:
    """Otherwise all cores but one wait until every group that came at once is decoded."""
    records = [signed(claim(f"garden-{number}", at=NOW)) for number in range(STATES_FEW + 1)]

    async with pipeline(tmp_path) as it:
        taking = asyncio.create_task(it.ingest.take_records(records, CLIENT, BY_REQUEST))
        await asyncio.sleep(0)
        unverified = it.ingest.unverified
        await taking

    assert unverified == len(records)


async def test_a_record_that_comes_over_a_link_must_be_in_its_canonical_bytes(tmp_path: Path) -> None:
    """Otherwise two nodes could send each other different bytes under one id."""
    entry = signed(claim("garden", at=NOW))
    spaced = Submission(entry.signature, entry.record.canonical.replace(b":", b": "))

    async with pipeline(tmp_path) as it:
        [over_link] = await it.ingest.take([spaced], PEER, Delivery(link=1))
        [by_request] = await it.ingest.take([spaced], CLIENT)

    assert (over_link.status, over_link.code, over_link.record) == (Status.REFUSED, Code.MALFORMED, None)
    assert (by_request.status, by_request.record) == (Status.ACCEPTED, entry.record)


async def test_a_known_record_is_known_with_any_genuine_signature_and_refused_with_a_forged_one(tmp_path: Path) -> None:
    record = signed(claim("garden", at=NOW))
    forged = SignedRecord(NO_SIGNATURE, record.record)

    async with pipeline(tmp_path) as it:
        first = await it.ingest.take([submission(record)], CLIENT)
        second = await it.ingest.take([submission(record), submission(forged)], CLIENT)

    assert [outcome.status for outcome in first] == [Status.ACCEPTED]
    assert [(outcome.status, outcome.code) for outcome in second] == [
        (Status.KNOWN, None),
        (Status.REFUSED, Code.BAD_SIGNATURE),
    ]


async def test_a_batch_is_admitted_in_key_order_and_answered_in_the_given_order(tmp_path: Path) -> None:
    founder = claim("garden", at=NOW - 2)
    follower = claim("garden", at=NOW - 1, prev=founder)

    async with pipeline(tmp_path) as it:
        outcomes = await it.take(follower, founder, founder)

    assert [outcome.verdict for outcome in outcomes[:2]] == [Verdict.UPDATED, Verdict.FOUNDED]
    assert outcomes[2].status is Status.KNOWN


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (claim("garden", at=NOW + MAX_SKEW_S + 1), Code.TOO_NEW),
        (claim("garden", at=NOW - MAX_AGE_S - 1), Code.TOO_OLD),
        (claim("garden", by=BOB, at=NOW), Code.NOT_OWNER),
        (claim("garden", at=NOW, prev="0" * 64), Code.STALE),
        (claim("garden", at=NOW - 20), Code.STALE),
        (claim("@garden", at=NOW), Code.MALFORMED),
        (claim("garden", at=NOW, domain="elsewhere"), Code.UNKNOWN_DOMAIN),
    ],
)
async def test_a_refused_client_gets_the_reason_and_nothing_is_stored(
    tmp_path: Path, record: Record, code: Code
) -> None:
    founder = claim("garden", at=NOW - 10)

    async with pipeline(tmp_path, domains=[DOMAIN]) as it:
        await it.take(founder)
        [outcome] = await it.take(record)

        assert (outcome.status, outcome.code) == (Status.REFUSED, code)
        assert await it.store.records([record.id]) == {}


async def test_a_condition_on_the_head_is_checked_before_the_time(tmp_path: Path) -> None:
    founder = claim("garden", at=NOW - 10)
    follower = claim("garden", at=NOW + MAX_SKEW_S + 1)

    async with pipeline(tmp_path) as it:
        await it.take(founder)
        other, same = [
            await it.take(follower, origin=Origin(Trust.CLIENT, None, Precondition(frozenset({head}))))
            for head in (NOWHERE, founder.id)
        ]

    assert (other[0].code, same[0].code) == (Code.PRECONDITION_FAILED, Code.TOO_NEW)


async def test_of_two_clients_that_demand_a_label_without_head_one_founds(tmp_path: Path) -> None:
    demand = Origin(Trust.CLIENT, precondition=NEEDS_NO_HEAD)
    records = [claim("garden", at=NOW + n) for n in range(2)]

    async with pipeline(tmp_path) as it:
        answers = await asyncio.gather(*(it.take(record, origin=demand) for record in records))

    assert {outcome.code for [outcome] in answers} == {None, Code.PRECONDITION_FAILED}


async def test_a_peer_may_bring_an_older_record_that_reverts_the_head(tmp_path: Path) -> None:
    ours, theirs = claim("garden", by=ALICE, at=NOW - 5), claim("garden", by=BOB, at=NOW - 9_000)

    async with pipeline(tmp_path) as it:
        await it.take(ours)
        await it.heads.get(DOMAIN, "garden")
        [outcome] = await it.take(theirs, origin=PEER)
        head = await it.heads.get(DOMAIN, "garden")
        [_, reverted] = await it.store.events(0, 10)

        assert outcome.verdict is Verdict.FOUNDED
        assert head is not None
        assert head.id == theirs.id
        assert (reverted.event.type, reverted.event.previous) == ("reverted", ours.id)
        assert await it.verdicts(DOMAIN, "garden") == {theirs.id: Verdict.FOUNDED, ours.id: Verdict.RIVAL}


async def test_the_same_record_twice_at_once_is_accepted_once(tmp_path: Path) -> None:
    record, times = claim("garden", at=NOW), 20

    async with pipeline(tmp_path) as it:
        answers = await asyncio.gather(*(it.take(record) for _ in range(times)))
        history = await it.store.history(DOMAIN, "garden")

    statuses = sorted(outcome.status for [outcome] in answers)
    assert statuses == [Status.ACCEPTED, *[Status.KNOWN] * (times - 1)]
    assert len(history) == 1


async def test_one_of_two_updates_of_the_same_head_wins(tmp_path: Path) -> None:
    """`prev` is a compare-and-swap: only one of two devices can follow a record."""
    founder = claim("garden", at=NOW - 10)
    updates = [claim("garden", at=NOW - 5 + n, prev=founder, device=n) for n in range(2)]

    async with pipeline(tmp_path) as it:
        await it.take(founder)
        answers = await asyncio.gather(*(it.take(update) for update in updates))

    assert sorted(outcome.status for [outcome] in answers) == [Status.ACCEPTED, Status.REFUSED]


async def test_the_last_place_for_a_domain_is_given_only_once(tmp_path: Path) -> None:
    first, second = (claim("garden", at=NOW, domain=domain) for domain in ("one", "two"))

    async with pipeline(tmp_path, domains_max=1) as it:
        outcomes = await it.take(first, second)

    assert sorted(outcome.status for outcome in outcomes) == [Status.ACCEPTED, Status.REFUSED]


async def test_a_repeat_of_a_record_that_is_refused_is_refused_too(tmp_path: Path) -> None:
    """It came in one group with the record, and was answered as known though nobody held it."""
    refused = claim("garden", by=BOB, at=NOW)

    async with pipeline(tmp_path) as it:
        await it.take(claim("garden", at=NOW))
        outcomes = await it.take(refused, refused)

    assert [outcome.code for outcome in outcomes] == [Code.NOT_OWNER, Code.NOT_OWNER]


async def test_strangers_found_domains_up_to_half_of_the_places(tmp_path: Path) -> None:
    """Nothing takes a domain back, so that a stranger could end the founding of domains for everybody."""
    stranger = Origin(Trust.CLIENT, address="192.0.2.1")
    records = [claim("garden", at=NOW, domain=domain) for domain in ("one", "two", "three", "four", "five")]

    async with pipeline(tmp_path, domains_max=4, domains_per_hour_max=None) as it:
        of_stranger = [await it.take(record, origin=stranger) for record in records[:3]]
        in_known_domain = await it.take(claim("shed", at=NOW, domain="one"), origin=stranger)
        of_peer = await it.take(records[2], origin=PEER)
        of_neighbour = await it.take(records[3], origin=CLIENT)
        past_all = await it.take(records[4], origin=PEER)

    codes = [[outcome.code for outcome in outcomes] for outcomes in of_stranger]
    assert codes == [[None], [None], [Code.UNKNOWN_DOMAIN]]
    assert [outcome.code for outcome in (*in_known_domain, *of_peer, *of_neighbour, *past_all)] == [
        None,
        None,
        None,
        Code.UNKNOWN_DOMAIN,
    ]


async def test_a_full_pipeline_refuses_a_client_and_makes_a_peer_wait(tmp_path: Path) -> None:
    room_records = 1_000
    many = [submission(signed(claim(f"label-{n}", at=NOW))) for n in range(room_records)]
    one = submission(signed(claim("one", at=NOW)))

    async with pipeline(tmp_path, records_in_flight_max=room_records) as it:
        filling = asyncio.create_task(it.ingest.take(many, PEER, WAITING))
        await asyncio.sleep(0)  # after one turn the group has entered the room
        waiting = asyncio.create_task(it.ingest.take([one], PEER, WAITING))
        with pytest.raises(ProtocolError) as refused:
            await it.ingest.take([one], CLIENT)
        outcomes = [*await filling, *await waiting]

    assert refused.value.code is Code.OVERLOADED
    assert refused.value.facts["retry_after"] == 1
    assert all(outcome.status is Status.ACCEPTED for outcome in outcomes)


async def test_a_full_disk_refuses_before_any_other_work(tmp_path: Path) -> None:
    more_than_any_disk_has = 2**62

    async with pipeline(tmp_path, disk_free_bytes_min=more_than_any_disk_has) as it:
        with pytest.raises(ProtocolError) as refused:
            await it.take(claim("garden", at=NOW))

    assert refused.value.code is Code.STORAGE_FULL


async def test_an_address_past_its_quota_is_limited_and_another_address_is_not(tmp_path: Path) -> None:
    flood, calm = Origin(Trust.CLIENT, address="192.0.2.1"), Origin(Trust.CLIENT, address="192.0.2.2")
    rate = 1.0
    burst = int(rate * BURST_S)
    *batch, more, other = [claim(f"label-{n}", at=NOW) for n in range(2 * burst + 2)]

    async with pipeline(tmp_path, records_per_second_max=rate) as it:
        await it.take(*batch, origin=flood)
        with pytest.raises(ProtocolError) as refused:
            await it.take(more, origin=flood)
        [outcome] = await it.take(other, origin=calm)

    seconds_over = (len(batch) + 1 - burst) / rate
    assert (refused.value.code, refused.value.facts["retry_after"]) == (Code.RATE_LIMITED, seconds_over)
    assert outcome.status is Status.ACCEPTED


async def test_hostile_bytes_in_a_batch_do_not_harm_the_good_records(tmp_path: Path) -> None:
    good = submission(signed(claim("garden", at=NOW)))
    bad = [
        Submission("zz", b"{}"),
        Submission(NO_SIGNATURE, b"\xff\x00"),
        Submission(NO_SIGNATURE, b"[" * 10_000),
    ]

    async with pipeline(tmp_path) as it:
        outcomes = await it.ingest.take([*bad, good], CLIENT)

    assert [outcome.code for outcome in outcomes] == [*[Code.MALFORMED] * len(bad), None]


async def test_if_the_store_fails_nothing_is_acknowledged_and_the_pipeline_ends(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as it:
        with closing(sqlite3.connect(tmp_path / "dnarc.db")) as vandal:
            vandal.execute("DROP TABLE events")
        answers = await asyncio.gather(
            it.take(claim("garden", at=NOW)), it.take(claim("shed", at=NOW)), return_exceptions=True
        )
        with pytest.raises(ProtocolError) as refused:
            await it.take(claim("fence", at=NOW))

        assert [type(answer) for answer in answers] == [ProtocolError, ProtocolError]
        assert refused.value.code is Code.OVERLOADED
        assert isinstance(it.commits.failed.exception(), sqlite3.OperationalError)


@given(batches=st.lists(histories(), min_size=1, max_size=4))
@hypothesis_settings(max_examples=25)
def test_in_any_order_of_arrival_the_store_holds_what_replay_says(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[Record]]
) -> None:
    async def run() -> None:
        async with pipeline(tmp_path_factory.mktemp("store"), labels_cached_max=1) as it:
            await asyncio.gather(*(it.take(*batch, origin=PEER) for batch in batches))
            label = batches[0][0].label if batches[0] else None
            if label is not None:
                assert await it.matches_replay(DOMAIN, label)

    asyncio.run(run())


async def test_an_offer_and_its_acceptance_move_the_label(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as it:
        founder = claim("garden", at=NOW - 3)
        outcomes = await it.take(founder, offer("garden", ALICE, BOB, at=NOW - 2), claim("garden", by=BOB, at=NOW - 1))
        [late] = await it.take(claim("garden", by=ALICE, at=NOW))
        [never] = await it.take(claim("garden", by=CAROL, at=NOW))

    assert [outcome.verdict for outcome in outcomes] == [Verdict.FOUNDED, Verdict.OFFERED, Verdict.TRANSFERRED]
    assert (late.code, never.code) == (Code.NOT_OWNER, Code.NOT_OWNER)


@pytest.mark.parametrize("count", [1, 1_001])
async def test_events_of_records_that_were_stored_before_have_their_bodies(tmp_path: Path, count: int) -> None:
    """Replay works without bodies, because they may be larger than the memory. Watchers need the bodies."""
    founding = claim("garden", ALICE, at=1)
    orphans = [claim("garden", ALICE, at=10, prev=founding)]
    for at in range(11, 10 + count):
        orphans.append(claim("garden", ALICE, at=at, prev=orphans[-1], text="x"))
    told: list[Committed] = []

    async with pipeline(tmp_path) as it:
        await it.take(*orphans, origin=PEER)
        await it.heads.get(DOMAIN, "garden")
        it.commits.watchers.append(told.append)
        await it.take(founding, origin=PEER)
        shown = await it.heads.get(DOMAIN, "garden")

    (committed,) = told
    assert [SignedRecord(it.signature, it.event.record) for it in committed.events] == [
        signed(record) for record in (founding, *orphans)
    ]
    assert shown is not None
    assert shown.id == orphans[-1].id


async def test_a_repeat_that_is_verified_while_its_domain_is_dropped_is_refused(tmp_path: Path) -> None:
    """The index does not know the record any more, and the store still has its row, so a second commit would fail."""
    record = claim("garden", at=NOW)
    async with pipeline(tmp_path) as pipe:
        await pipe.take(record)
        group = Group.of_records([signed(record)], [PEER], WAITING)
        pipe.indexes.drop(DOMAIN)

        decision = await pipe.ingest._decider.decide(group)

        assert [outcome.code for outcome in group.settled()] == [Code.UNKNOWN_DOMAIN]
        assert decision.batch.records == []


async def test_the_store_is_told_which_labels_it_holds_already(tmp_path: Path) -> None:
    """To look up one that is new takes 1 us of the 15 us of a commit."""
    held: list[Set[LabelKey]] = []
    async with pipeline(tmp_path) as it:
        it.commits.watchers.append(lambda committed: held.append(committed.batch.looked_up))
        await it.take(claim("garden", at=NOW), claim("meadow", at=NOW))

        await it.take(claim("garden", at=NOW + 1), claim("meadow", by=BOB, at=NOW + 1), claim("pond", at=NOW + 1))

    assert held == [set(), {(DOMAIN, "garden")}]

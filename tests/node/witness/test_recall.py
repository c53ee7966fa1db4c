"""A node that keeps two records of a witnessed domain in memory, and that restarts at any time, gives the same state.

The vectors are taken in by the intake of a node, on a real store, in random order and random pieces. What is in the
store in the end is what a domain says that has all records in memory, and what a rebuild derives.
"""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from node.intake.arrivals import Origin
from node.store.contract import Store
from node.store.sqlite.rebuilding import rebuild
from node.witness.labels import read_label
from protocol.records.admission import Trust
from protocol.records.record import SignedRecord, make, sign
from protocol.witness.domain import WitnessedDomain
from tests.history import ALICE
from tests.node.intake.pipeline import pipeline, submission
from tests.paths import VECTORS
from tests.protocol.witness.council import council_policy, domain_of

FILES = sorted((VECTORS / "witnessed").glob("*.json"))
PEER = Origin(Trust.PEER)
NOW_S = 1_790_100_000
"""After the records of the vectors."""

ORDERS = 1
"""Random orders of each vector. More of them find more: 8 orders took a minute and found nothing."""

TINY = 20
"""Labels in memory; of witnessed domains, a tenth of so many records."""

pytestmark = pytest.mark.skipif(not FILES, reason="the vectors are not beside this checkout")


class Vector(msgspec.Struct):
    domain: str
    records: list[dict[str, Any]]
    expect: dict[str, dict[str, Any]]


def read(path: Path) -> Vector:
    return msgspec.json.decode(path.read_bytes(), type=Vector)


def pieces(records: list[SignedRecord], random: Random) -> Iterator[list[SignedRecord]]:
    """The records in random order and random pieces, with repeats."""
    rest = [*records, *random.choices(records, k=3)]
    random.shuffle(rest)
    while rest:
        size = random.choice((1, 2, 5, 40))
        yield rest[:size]
        del rest[:size]


async def take(folder: Path, records: list[SignedRecord], random: Random) -> None:
    """Take the records in, piece by piece, with a restart after some of them."""
    waiting = list(pieces(records, random))
    while waiting:
        async with pipeline(folder, now_s=NOW_S, labels_cached_max=TINY) as pipe:
            for _ in range(random.randint(1, 12)):
                if waiting:
                    outcomes = await pipe.ingest.take([submission(each) for each in waiting.pop(0)], PEER)
                    assert {outcome.status for outcome in outcomes} <= {"accepted", "known"}


async def state_of(store: Store, domain: WitnessedDomain, name: str) -> dict[str, Any]:
    """The state of a label in the store, as the vectors spell it."""
    found = await read_label(store, domain.name, domain.policy, name)
    assert found is not None
    label, state = found.label, (await store.states([(domain.name, name)]))[domain.name, name]
    assert (state.tip and state.tip.id) == (label.head and label.head.id)
    assert state.final == (label.chain[label.final - 1].id if label.final else None)
    verdicts = {past.record.id: str(past.verdict) for past in await store.history(domain.name, name)}
    return {
        "chain": [record.id for record in label.chain],
        "final": label.final,
        "verdicts": verdicts,
        "ordered": {record_id: label.ordered_ms(record_id) for record_id in verdicts},
    }


@pytest.mark.parametrize("order", range(ORDERS))
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_a_node_that_forgets_and_restarts_at_any_time_gives_the_state_of_a_vector(
    path: Path, order: int, tmp_path: Path
) -> None:
    vector = read(path)
    records = [SignedRecord(it["signature"], make(it["record"])) for it in vector.records]
    whole = WitnessedDomain(vector.domain)
    told = whole.add(each.record for each in records)

    await take(tmp_path, records, Random(f"{path.stem} {order}"))

    async with pipeline(tmp_path, now_s=NOW_S) as pipe:
        states = {name: await state_of(pipe.store, whole, name) for name in vector.expect}
        overview = await pipe.store.overview(vector.domain)
    assert states == vector.expect
    assert sum(overview.undecided.values()) == whole.undecided
    assert sum(overview.doubly_decided.values()) == whole.doubly_decided
    assert {fork.place: fork for fork in overview.forks} == told.forks
    assert rebuild(tmp_path / "dnarc.db", is_check=True).differences == []


async def test_a_domain_whose_policy_is_late_is_not_kept_in_memory_before(tmp_path: Path) -> None:
    """Otherwise strangers fill the memory of a node with domains that never get a policy."""
    policy = council_policy(witnesses=1, faulty=0)
    domain, many = domain_of(policy), 10 * TINY
    fields = {"domain": domain, "signedby": ALICE.public, "timestamp": NOW_S}
    claims = [sign(make(fields | {"label": f"label-{number}"}), ALICE) for number in range(many)]
    late = sign(make(fields | {"label": "@policy"} | policy.fields), ALICE)
    async with pipeline(tmp_path, now_s=NOW_S, labels_cached_max=TINY) as pipe:
        for begin in range(0, many, TINY):
            await pipe.ingest.take([submission(claim) for claim in claims[begin : begin + TINY]], PEER)
        kept = pipe.witnessed.open(domain)
        before = (len(kept.labels), kept.undecided)
        (outcome,) = await pipe.ingest.take([submission(late)], PEER)
        after = (len(kept.labels), kept.undecided)

    assert before[0] <= TINY + TINY // 10  # those of the last decision too
    assert before[1] == many
    assert outcome.verdict == "founded"
    assert after == (many, many)

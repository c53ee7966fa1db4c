"""What liars and strangers can write into a witnessed domain costs little, and changes nothing that is final."""

import time
from collections.abc import Sequence
from typing import Any

import pytest

from protocol.errors import Code, ProtocolError
from protocol.limits import SAFE_INTEGER_MAX
from protocol.records.admission import Trust, Window
from protocol.records.record import Record, make
from protocol.records.replay import Verdict
from protocol.witness.admission import FOLLOWERS_MAX, FOUNDINGS_MAX, ROUNDS_MAX, WAITING_BYTES_MAX, check_witnessed
from protocol.witness.domain import WitnessedDomain
from protocol.witness.policy import make_policy
from protocol.witness.receipt import BALLOTS_MAX, ENTRIES_MAX, receipt_label
from protocol.witness.testimony import Act

NOW_S = 1_790_000_000
NOW_MS = NOW_S * 1_000
LIAR, HONEST, STRANGER = (kind * 4 + "0" * 60 for kind in "acd")
POLICY = make_policy([LIAR, HONEST, "b" * 64, "e" * 64], 1)
DOMAIN = f"com.example.{POLICY.name}"
LABEL = "garden"
WINDOW = Window(300, 300)
UNDECIDED_MAX = 1_000
MANY = 3_000
"""Records of a flood. Work that grew with their square would take minutes."""

GROWTH_MAX = 3.0
"""The last third of a flood may take so many times as long as the first. It takes the same if each record costs the
same, and five times as long if each costs as much as there are records before it."""

TRIES = 5
"""The least of so many measurements counts, because other work on the machine disturbs one of them now and then."""


def record(label: str = LABEL, by: str = STRANGER, **fields: Any) -> Record:
    return make({"domain": DOMAIN, "label": label, "signedby": by, "timestamp": NOW_S} | fields)


def receipt(by: str, at_ms: int = NOW_MS, **said: Any) -> Record:
    return record(receipt_label(by), by, timestamp=at_ms // 1_000, at=at_ms, **said)


def author(number: int) -> str:
    return f"bbbb{number:060x}"


def domain_with(*records: Record) -> WitnessedDomain:
    domain = WitnessedDomain(DOMAIN)
    policy = record("@policy", **POLICY.fields)
    domain.add([policy, *records])
    return domain


def refusal(domain: WitnessedDomain, it: Record, trust: Trust = Trust.CLIENT) -> Code | None:
    """The code with which a record is refused; None if it is taken."""
    try:
        check_witnessed(it, trust, domain, WINDOW, NOW_S, UNDECIDED_MAX)
    except ProtocolError as error:
        return error.code
    return None


def growth(flood: Sequence[Record], *first: Record) -> tuple[float, WitnessedDomain]:
    """How many times the processor time of the first third of a flood its last third takes, and the domain after it."""
    ratios, domain = [], domain_with(*first)
    for _ in range(TRIES):
        domain = domain_with(*first)
        third = len(flood) // 3
        begun_s = time.thread_time()
        for it in flood[:third]:
            domain.add([it])
        first_s = time.thread_time() - begun_s
        domain.add(flood[third : 2 * third])
        begun_s = time.thread_time()
        for it in flood[2 * third :]:
            domain.add([it])
        ratios.append((time.thread_time() - begun_s) / first_s)
    return min(ratios), domain


ID = "f" * 64


@pytest.mark.parametrize(
    ("it", "code"),
    [
        (receipt(HONEST, first={ID: NOW_MS}), None),
        (receipt(STRANGER, first={ID: NOW_MS}), Code.NOT_OWNER),
        (record(receipt_label(HONEST), STRANGER, at=NOW_MS), Code.NOT_OWNER),
        (receipt(HONEST, commit={"0": [ID], str(2**53): [ID]}), Code.MALFORMED),
        (receipt(HONEST, vote={"0": [ID]}), Code.MALFORMED),
        (receipt(HONEST, vote={"01": [ID]}), Code.MALFORMED),
        (receipt(HONEST, first={ID: 0}), Code.MALFORMED),
        (receipt(HONEST, first={f"{number:064x}": NOW_MS for number in range(ENTRIES_MAX + 1)}), Code.MALFORMED),
        (receipt(HONEST, SAFE_INTEGER_MAX, first={ID: NOW_MS}), None),
        (record("@policy", faulty=1, witnesses=[LIAR]), Code.MALFORMED),
        (record("@policy", **POLICY.fields, n=1), Code.MALFORMED),
        (record("@policy", HONEST, **POLICY.fields), Code.STALE),
        (record(prev=ID), Code.STALE),
        (record(timestamp=NOW_S - 1_000), Code.TOO_OLD),
        (record(timestamp=NOW_S + 1_000), Code.TOO_NEW),
    ],
)
def test_what_a_client_may_not_bring_has_a_clear_code(it: Record, code: Code | None) -> None:
    assert refusal(domain_with(), it) == code


def test_a_named_record_is_taken_past_every_bound() -> None:
    """Otherwise nodes that admitted different rivals could never count the commits for one of them."""
    old = record(timestamp=1)
    domain = domain_with(receipt(HONEST, first={old.id: NOW_MS}))

    assert refusal(domain, old) is None


def test_foundings_and_followers_that_wait_are_bounded_for_clients() -> None:
    domain = domain_with(*(record(by=author(number)) for number in range(FOUNDINGS_MAX - 1)))
    first = record(by=STRANGER)

    last = refusal(domain, first)
    domain.add([first])
    past = refusal(domain, record(by=HONEST))
    domain.add([record(by=STRANGER, prev=first.id, n=number) for number in range(FOLLOWERS_MAX)])
    follower = refusal(domain, record(by=STRANGER, prev=first.id, n=-1))

    assert (last, past, follower) == (None, Code.RATE_LIMITED, Code.RATE_LIMITED)


def test_records_that_wait_in_a_domain_are_bounded_for_clients() -> None:
    domain = domain_with(*(record(f"label-{number}") for number in range(UNDECIDED_MAX - 1)))

    last = refusal(domain, record("one"))
    domain.add([record("one")])

    assert (last, refusal(domain, record("other"))) == (None, Code.RATE_LIMITED)


def test_a_race_of_thousands_that_a_peer_brings_is_walked_in_linear_time() -> None:
    ratio, domain = growth([record(by=author(number)) for number in range(MANY)])

    assert ratio < GROWTH_MAX
    assert domain.undecided == MANY


def test_thousands_of_forks_are_evidence_and_cost_little() -> None:
    founded = record()
    forks = [receipt(LIAR, NOW_MS + number, first={founded.id: NOW_MS + number}) for number in range(MANY)]

    ratio, domain = growth(forks, founded)

    assert ratio < GROWTH_MAX
    assert {fork.act: fork.witness for fork in domain.forks()} == {Act.RECEIPT: LIAR}


def test_a_chain_with_a_gap_gives_no_times_until_the_gap_is_filled() -> None:
    founded = record()
    one = receipt(HONEST, NOW_MS)
    two = receipt(HONEST, NOW_MS + 1, prev=one.id)
    three = receipt(HONEST, NOW_MS + 2, prev=two.id, seen={founded.id: NOW_MS + 2})
    domain = domain_with(founded, one, three)

    before = dict(domain.evidence(founded.id).times_ms)
    domain.add([two])

    assert (before, domain.evidence(founded.id).times_ms) == ({}, {HONEST: NOW_MS + 2})


def test_what_is_said_of_records_that_do_not_exist_changes_no_label() -> None:
    founded = record()
    domain = domain_with(founded)
    unknown = [f"{number:064x}" for number in range(ENTRIES_MAX)]

    change = domain.add([receipt(LIAR, first=dict.fromkeys(unknown, NOW_MS), commit={"7": unknown})])

    assert list(change.states) == [receipt_label(LIAR)]
    label = domain.label(LABEL)
    assert label is not None
    assert label.verdicts == {founded.id: Verdict.PENDING}


def in_rounds(record_id: str, begin: int, count: int) -> dict[str, list[str]]:
    """Votes or commits for this record in so many rounds from this one on."""
    return {str(number): [record_id] for number in range(begin, begin + count)}


@pytest.mark.parametrize("kind", ["vote", "commit"])
def test_of_one_record_a_client_may_bring_so_many_rounds_of_votes_and_commits(kind: str) -> None:
    """Whoever makes a domain can be its witness, and all that witnesses said of a record is in memory with it."""
    domain, receipts = domain_with(), list[Record]()
    for begin in range(1, ROUNDS_MAX, BALLOTS_MAX):
        said: dict[str, Any] = {kind: in_rounds(ID, begin, BALLOTS_MAX)}
        if receipts:
            said["prev"] = receipts[-1].id
        receipts.append(receipt(LIAR, **said))
        assert refusal(domain, receipts[-1]) is None
        domain.add(receipts[-1:])

    past = receipt(LIAR, prev=receipts[-1].id, vote=in_rounds(ID, ROUNDS_MAX + 1, 1))
    of_another = receipt(LIAR, prev=receipts[-1].id, vote=in_rounds("e" * 64, 1, BALLOTS_MAX))

    assert (refusal(domain, past), refusal(domain, past, Trust.PEER)) == (Code.TOO_LARGE, None)
    assert refusal(domain, of_another) is None


@pytest.mark.parametrize(("trust", "code"), [(Trust.CLIENT, Code.RATE_LIMITED), (Trust.PEER, Code.OVERLOADED)])
def test_of_a_witness_so_many_bytes_of_receipts_wait_for_those_before_them(trust: Trust, code: Code) -> None:
    """All of them count at once when the last of those before them comes. Whoever is a witness may be a peer too."""
    chain = [receipt(HONEST, at_ms=NOW_MS)]
    while sum(len(each.canonical) for each in chain[1:]) <= WAITING_BYTES_MAX:
        chain.append(receipt(HONEST, at_ms=NOW_MS + len(chain), prev=chain[-1].id, padding="x" * 60_000))
    first, *waiting, past = chain

    domain = domain_with(*waiting[:-1])
    assert refusal(domain, waiting[-1], trust) is None
    domain.add([waiting[-1]])

    assert refusal(domain, past, trust) is code
    assert refusal(domain, receipt(LIAR, prev="f" * 64), trust) is None
    assert refusal(domain, first, trust) is None
    domain.add([first])
    assert refusal(domain, past, trust) is None

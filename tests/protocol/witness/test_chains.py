"""Of a chain of receipts that becomes sound, so much is counted at once that others get their turn."""

from typing import Any

from protocol.records.record import Record, make
from protocol.witness.chains import NAMED_BESIDE_MAX, NAMED_MAX
from protocol.witness.domain import WitnessedDomain
from protocol.witness.recall import Known
from protocol.witness.receipt import receipt_label
from protocol.witness.testimony import Evidence, Spot
from tests.protocol.witness.council import council_policy, domain_of

POLICY = council_policy(witnesses=1, faulty=0)
DOMAIN = domain_of(POLICY)
(WITNESS,) = POLICY.witnesses
NOW_MS = 1_790_000_000_000
IDS = [f"{number:064x}" for number in range(400)]


def of_witness(label: str, **fields: Any) -> Record:
    return make({"domain": DOMAIN, "label": label, "signedby": WITNESS, "timestamp": NOW_MS // 1_000} | fields)


def receipt(number: int, prev: Record | None, ids: list[str]) -> Record:
    at_ms = NOW_MS + number
    before = {} if prev is None else {"prev": prev.id}
    return of_witness(receipt_label(WITNESS), at=at_ms, seen=dict.fromkeys(ids, at_ms), **before)


def chain_of(count: int, ids: list[str]) -> list[Record]:
    chain: list[Record] = []
    for number in range(count):
        chain.append(receipt(number, chain[-1] if chain else None, ids))
    return chain


def bring(domain: WitnessedDomain, *records: Record) -> None:
    """Ask for the parts that these records need, as a node does. No record but receipts was ever stored."""
    wanted = domain.needs(records)
    while missing := domain.missing(wanted):
        for _ in domain.learn(missing, Known(places={place: Spot() for place in missing.places})):
            pass
        wanted = domain.needs(records)


def domain_with(*records: Record) -> WitnessedDomain:
    domain = WitnessedDomain(DOMAIN)
    domain.add([of_witness("@policy", **POLICY.fields)])
    for each in records:
        bring(domain, each)
        domain.add([each])
    return domain


def sound_in(domain: WitnessedDomain) -> dict[str, Evidence]:
    return {each: domain.evidence(each) for each in IDS}


def test_a_long_chain_that_becomes_sound_is_counted_some_receipts_at_a_time() -> None:
    first, *others = chain_of(20, IDS)
    domain = domain_with(*reversed(others))

    bring(domain, first)
    counted = [len(domain.add([first]).links) - 1]
    named = [0]
    while domain.has_due:
        bring(domain)
        counted.append(len(domain.count_due().links))
        named.append(counted[-1] * len(IDS))

    assert max(named) <= NAMED_MAX
    assert (counted[0], sum(counted)) == (0, len(others))
    everything = WitnessedDomain(DOMAIN)
    everything.add([of_witness("@policy", **POLICY.fields), first, *others])
    assert sound_in(domain) == sound_in(everything)
    assert domain.testimony is not None
    assert domain.testimony.waiting[WITNESS] == 0


def test_a_short_chain_that_becomes_sound_is_counted_with_the_receipt_that_was_missing() -> None:
    first, *others = chain_of(6, IDS[: NAMED_BESIDE_MAX // 10])
    domain = domain_with(*reversed(others))

    bring(domain, first)
    links = domain.add([first]).links

    assert (len(links), domain.has_due) == (6, False)


def test_receipts_that_are_never_sound_hold_none_up_that_is_due() -> None:
    """A liar may sign thousands with an `at` that does not rise. They wait for ever, and use no turn."""
    first = receipt(100, None, IDS)
    never = [receipt(number, first, IDS[number:]) for number in range(10)]
    due = receipt(101, first, IDS)
    domain = domain_with(*never, due)

    bring(domain, first)
    domain.add([first])
    bring(domain)
    links = domain.count_due().links

    assert (list(links), domain.has_due) == ([due.id], False)


def test_a_receipt_that_is_added_before_the_one_that_makes_it_sound_is_counted_with_that() -> None:
    first, second = chain_of(2, IDS)
    domain = domain_with()

    bring(domain, first, second)
    domain.add([second])
    domain.add([first])

    assert (domain.has_due, domain.evidence(IDS[0]).times_ms) == (False, {WITNESS: NOW_MS})

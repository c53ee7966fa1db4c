"""What a report of a domain shows is bounded, and it counts the rest."""

from node.witness.report import SHOWN_MAX, report_of, shown
from protocol.records.record import Record, make
from protocol.witness.domain import WitnessedDomain
from protocol.witness.receipt import receipt_label
from protocol.witness.testimony import SILENCE
from protocol.witness.voter import Voter
from tests.protocol.witness.council import BEGIN_MS, council_policy, domain_of, founding, key_of

POLICY = council_policy(witnesses=4, faulty=1)
WITNESS, LIAR = POLICY.witnesses[:2]
MANY = SHOWN_MAX + 1


def of_witnesses(label: str, by: str, **fields: object) -> Record:
    record = {"domain": domain_of(POLICY), "label": label, "signedby": by, "timestamp": BEGIN_MS // 1_000}
    return make(record | fields)


def test_a_liar_that_forks_everywhere_makes_no_long_report() -> None:
    domain = WitnessedDomain(domain_of(POLICY))
    domain.add([of_witnesses("@policy", key_of(9), **POLICY.fields)])
    chain: dict[str, str] = {}
    for number in range(MANY):
        rivals = [founding(POLICY, author, label=f"label-{number}") for author in (1, 2)]
        commits = {"0": [record.id for record in rivals]}
        both = of_witnesses(receipt_label(LIAR), LIAR, at=BEGIN_MS + number, commit=commits, **chain)
        domain.add([*rivals, both])
        chain = {"prev": both.id}

    shown_of = {it["key"]: (len(it["forks"]), it["fork_count"]) for it in report_of(domain, (), 0.0)["witnesses"]}

    assert shown_of == dict.fromkeys(POLICY.witnesses, (0, 0)) | {LIAR: (SHOWN_MAX, MANY)}


def test_slots_that_are_open_are_shown_up_to_a_limit_oldest_first() -> None:
    voter = Voter(domain_of(POLICY), POLICY, WITNESS, lambda _: SILENCE)
    for number in range(MANY):
        voter.on_candidate(("race", None), f"{number:064x}", BEGIN_MS)
        voter.on_candidate((f"label-{number}", None), f"{MANY + number:064x}", BEGIN_MS)

    slots = shown(voter.open_slots())

    assert voter.open_count == MANY + 1
    assert [slot["label"] for slot in slots] == ["race", *(f"label-{number}" for number in range(SHOWN_MAX - 1))]
    assert slots[0]["candidates"] == [f"{number:064x}" for number in range(SHOWN_MAX)]

"""Parts of a domain that are brought back from a store."""

from random import Random

from protocol.witness.domain import WitnessedDomain
from protocol.witness.label import WitnessedLabel
from protocol.witness.recall import MERGED_AT_ONCE, STEP_RECORDS, Known, Wanted
from protocol.witness.testimony import Evidence
from protocol.witness.walk import walk
from tests.protocol.witness.council import LABEL, council_policy, domain_of, follower, founding

POLICY = council_policy(witnesses=4, faulty=1)


def test_a_long_label_is_walked_in_steps_so_that_others_get_a_turn() -> None:
    chain = [founding(POLICY, author=1)]
    while len(chain) < 2 * STEP_RECORDS + 1:
        chain.append(follower(POLICY, chain[-1], author=1, moment=len(chain)))
    decided = Evidence(commits={0: dict.fromkeys(POLICY.witnesses, "receipt")})
    known = Known(said=dict.fromkeys((record.id for record in chain), decided))
    known.labels[LABEL] = Random(1).sample(chain, len(chain))
    walked: dict[str, WitnessedLabel] = {}

    lengths = [len(walked[LABEL]) for _ in known.walk(walked, POLICY, known.evidence)]

    assert lengths == [STEP_RECORDS, 2 * STEP_RECORDS]
    assert tuple(walked[LABEL].chain) == walk(POLICY, chain, known.evidence).chain == tuple(chain)


def test_many_labels_are_taken_into_memory_in_steps_and_each_with_all_of_its_records() -> None:
    """Otherwise a receipt that names records of 400 long labels holds the loop. A caller that stops leaves no label
    with a part of its records: those would be taken for new.
    """
    records = [founding(POLICY, author=1, moment=number) for number in range(3 * MERGED_AT_ONCE)]
    known = Known({LABEL: records[:100], "long": records[100:]})
    domain = WitnessedDomain(domain_of(POLICY))
    held = []

    learning = domain.learn(Wanted(labels=dict.fromkeys(known.labels)), known)
    for _ in learning:
        held.append(sum(record.id in domain for record in records) if domain.labels else 0)
        if held[-1]:
            break
    del learning

    assert 0 < held[-1] <= 2 * MERGED_AT_ONCE
    assert (len(domain.labels), all(record.id in domain for record in records)) == (2, True)

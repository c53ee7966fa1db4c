"""Parts of a domain that are brought back from a store."""

from random import Random

from protocol.witness.label import WitnessedLabel
from protocol.witness.recall import STEP_RECORDS, Known
from protocol.witness.testimony import Evidence
from protocol.witness.walk import walk
from tests.protocol.witness.council import LABEL, council_policy, follower, founding

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

"""The oracle of witnessed domains and the node's walk, written apart, say the same of every set of records."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from protocol.records.record import Record, make
from protocol.witness.policy import Policy
from simulations.judges.witnessed_oracle import Told, tell
from tests.paths import VECTORS
from tests.protocol.witness.council import (
    BEGIN_MS,
    LABEL,
    Liar,
    council_policy,
    domain_of,
    follower,
    founding,
    key_of,
)
from tests.protocol.witness.test_walk import as_expected, states

FILES = sorted((VECTORS / "witnessed").glob("*.json"))
SHAPES = ((1, 0), (3, 0), (4, 1), (7, 2))
RUNS = 40


def spelled(told: Told) -> dict[str, Any]:
    return {"chain": told.chain, "final": told.final, "verdicts": told.verdicts, "ordered": told.ordered}


@pytest.mark.skipif(not FILES, reason="the vectors are not beside this checkout")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_oracle_tells_the_state_of_a_vector(path: Path) -> None:
    vector = json.loads(path.read_text())
    records = [make(signed["record"]) for signed in vector["records"]]

    told = tell(records)

    assert {label: spelled(each) for label, each in told.items()} == vector["expect"]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_oracle_and_the_walk_agree_whatever_witnesses_say(shape: tuple[int, int]) -> None:
    policy = council_policy(*shape)

    for seed in range(RUNS):
        records = babble(policy, Random(f"{shape} {seed}"))

        assert {label: spelled(each) for label, each in tell(records).items()} == {
            label: as_expected(state) for label, state in states(records).items()
        }


def babble(policy: Policy, random: Random) -> list[Record]:
    """Rivals and followers, some by strangers, and what witnesses say who vote and commit by chance."""
    claims = [founding(policy, author) for author in range(2)]
    claims += [follower(policy, random.choice(claims), author) for author in range(3)]
    claims += [founding(policy, 1, n=1), follower(policy, claims[-1], 1, newowner=key_of(2, "b"))]
    fields = {"domain": domain_of(policy), "label": "@policy", "signedby": key_of(9, "b"), "timestamp": 1}
    stated = make(fields | {"faulty": policy.faulty, "witnesses": list(policy.witnesses)})
    liars = [Liar(policy, key, random) for key in policy.witnesses]
    said = [random.choice(liars).lie(claims, BEGIN_MS + random.randrange(9_000)) for _ in range(20 * len(liars))]
    held = random.sample(claims, random.randint(3, len(claims)))
    assert {claim.label for claim in claims} == {LABEL}
    return [*held, *said, *([stated] if random.random() < 0.9 else [])]

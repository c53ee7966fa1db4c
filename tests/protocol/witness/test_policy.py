"""The name of a witnessed domain says by itself who its witnesses are."""

from typing import Any

import pytest

from protocol.errors import Code, ProtocolError
from protocol.records.record import is_witnessed, make
from protocol.witness.policy import WITNESSES_MAX, check_policy, make_policy, policy_of
from tests.protocol.witness.council import council_policy, domain_of, key_of

FOUR = council_policy(witnesses=4, faulty=1)


def policy_record(domain: str = domain_of(FOUR), **changes: Any) -> Any:
    fields = {"domain": domain, "label": "@policy", "signedby": key_of(9), "timestamp": 1}
    return make(fields | {"faulty": FOUR.faulty, "witnesses": list(FOUR.witnesses)} | changes)


def test_a_policy_record_is_believed_whoever_signs_it() -> None:
    assert policy_of(policy_record()) == FOUR
    assert policy_of(policy_record(signedby=key_of(3))) == FOUR


NO_POLICY = {
    "one witness exchanged": {"witnesses": [key_of(number) for number in (0, 1, 2, 5)]},
    "another number of liars": {"faulty": 0},
    "one key more": {"note": "hello"},
    "a prev": {"prev": "0" * 64},
    "an offer": {"newowner": key_of(1)},
    "another label": {"label": "@policies"},
    "an ordinary domain": {"domain": "com.example"},
    "a domain with a prefix alone": {"domain": f"com.x{FOUR.name}"},
}


@pytest.mark.parametrize("changes", NO_POLICY.values(), ids=NO_POLICY)
def test_a_record_with_another_content_is_no_policy(changes: dict[str, Any]) -> None:
    assert policy_of(policy_record(**changes)) is None


def test_a_digest_of_a_policy_that_breaks_its_rules_makes_no_policy() -> None:
    """The name may commit to anything; only a policy that is well formed orders records."""
    unsound = FOUR.__class__(2, FOUR.witnesses)

    record = policy_record(domain=f"com.example.{unsound.name}", faulty=2)

    assert policy_of(record) is None


NAMES = {
    FOUR.name: True,
    f"com.example.{FOUR.name}": True,
    f"com.{FOUR.name}.example": False,
    f"com.example.{FOUR.name}a": False,
    f"com.example.{FOUR.name[:-1]}b": False,
    f"com.example.{FOUR.name[:-1]}": False,
    f"com.example.x{FOUR.name[1:]}": False,
    "w": False,
}


@pytest.mark.parametrize(("name", "expected"), NAMES.items())
def test_a_last_part_of_w_and_52_characters_makes_a_domain_witnessed(name: str, expected: bool) -> None:
    """The last of the 52 has four spare bits, so it is `a` or `q`: another spelling of a digest is another name."""
    assert is_witnessed(name) is expected


BROKEN: dict[str, dict[str, Any]] = {
    "no witness": {"faulty": 0, "witnesses": []},
    "one witness too many": {"faulty": 0, "witnesses": [key_of(number) for number in range(WITNESSES_MAX + 1)]},
    "a witness twice": {"faulty": 0, "witnesses": [key_of(1), key_of(1)]},
    "out of order": {"faulty": 0, "witnesses": [key_of(2), key_of(1)]},
    "no key": {"faulty": 0, "witnesses": ["A" * 64]},
    "no list": {"faulty": 0, "witnesses": {key_of(1): 1}},
    "too many liars": {"faulty": 1, "witnesses": [key_of(number) for number in range(3)]},
    "fewer than no liars": {"faulty": -1, "witnesses": [key_of(1)]},
    "true is no number": {"faulty": True, "witnesses": [key_of(number) for number in range(4)]},
    "a field more": {"faulty": 0, "witnesses": [key_of(1)], "authority": key_of(2)},
    "a field less": {"witnesses": [key_of(1)]},
}


@pytest.mark.parametrize("fields", BROKEN.values(), ids=BROKEN)
def test_a_policy_that_breaks_a_rule_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as refused:
        check_policy(fields)

    assert refused.value.code is Code.MALFORMED


QUORUMS = [(1, 0, 1), (2, 0, 2), (3, 0, 2), (4, 0, 3), (4, 1, 3), (5, 1, 4), (7, 2, 5), (16, 5, 11)]


@pytest.mark.parametrize(("witnesses", "faulty", "quorum"), QUORUMS)
def test_two_quorums_share_an_honest_witness(witnesses: int, faulty: int, quorum: int) -> None:
    policy = council_policy(witnesses, faulty)

    shared = 2 * policy.quorum - witnesses

    assert (policy.quorum, shared > faulty) == (quorum, True)


def test_witnesses_are_numbered_in_the_order_of_their_keys() -> None:
    policy = make_policy([key_of(2), key_of(0), key_of(1)], faulty=0)

    assert [policy.speaker(number) for number in (1, 2, 3)] == [key_of(1), key_of(2), key_of(0)]

"""Error codes are part of the contract, because programs branch on them."""

from protocol.errors import TRANSIENT, Code, ProtocolError


def test_the_codes_of_a_record_are_in_the_order_of_the_checks() -> None:
    """docs/protocol.md, section 3: the first check that fails gives the code."""
    checks = [
        "malformed",
        "too_large",
        "unknown_domain",
        "bad_signature",
        "not_welcome",
        "precondition_failed",
        "too_new",
        "too_old",
        "not_owner",
        "stale",
    ]

    assert list(Code)[: len(checks)] == checks


def test_only_refusals_that_time_may_lift_are_transient() -> None:
    """A push cursor stops at these codes and passes all others. One code too many here would stop a push for ever."""
    assert {"too_new", "rate_limited", "overloaded", "storage_full"} == TRANSIENT


def test_an_error_tells_people_a_sentence_and_programs_a_code_and_facts() -> None:
    error = ProtocolError(Code.STALE, "not newer than the head", head={"id": "ab"})

    assert (error.code, error.detail, error.facts) == ("stale", "not newer than the head", {"head": {"id": "ab"}})
    assert str(error) == "stale: not newer than the head"

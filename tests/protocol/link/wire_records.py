"""What tests on the pretend wire share: records, terms of both sides, and what went over the wire."""

from typing import Any, TypeVar

from protocol.link.messages import Message, Records
from protocol.link.terms import Terms
from protocol.records.record import SignedRecord
from tests.history import claim, signed
from tests.protocol.link.wire import End

M = TypeVar("M", bound=Message)

BOTH = (Terms(push=True, pull=True), Terms())
"""The dialler pushes and pulls."""

PULLING = (Terms(pull=True), Terms())
"""The dialler pulls."""

PUSHING = (Terms(push=True), Terms())
"""The dialler pushes."""

NEITHER = (Terms(), Terms())
"""No record should flow, except what one side asks for."""


def record(at: int, domain: str = "example", **fields: Any) -> SignedRecord:
    """A record of this timestamp, in seconds. Records of one timestamp differ if their `fields` do."""
    return signed(claim(f"label-{at}", at=at, domain=domain, **fields))


def records(count: int, domain: str = "example", begin: int = 1, **fields: Any) -> list[SignedRecord]:
    """One record a second, from the timestamp `begin` on."""
    return [record(at, domain, **fields) for at in range(begin, begin + count)]


HUNDRED = records(100)
"""Their timestamps are 1 to 100."""

NEWER = 500
"""A timestamp after the hundred, in seconds."""


def ids(held: list[SignedRecord]) -> set[str]:
    return {it.record.id for it in held}


def said(end: End, kind: type[M]) -> list[M]:
    """The messages of one kind that an end has sent, in order."""
    return [message for message in end.said if isinstance(message, kind)]


def signatures_sent(end: End) -> list[str]:
    """The signatures of all records that an end has sent, in order."""
    return [item.signature for message in said(end, Records) for item in message.records]


def count_sent(end: End) -> int:
    """How many records an end has sent, repeats included."""
    return len(signatures_sent(end))

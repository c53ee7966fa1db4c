"""Records that two nodes on a pretend wire hold in tests, rows for both, and what went over the wire."""

from protocol.link.messages import Records
from protocol.link.terms import Terms
from protocol.records.record import SignedRecord
from tests.history import claim, signed
from tests.protocol.link.wire import End

BOTH = (Terms(push=True, pull=True), Terms())


def records(count: int, domain: str = "example", begin: int = 1, note: str = "") -> list[SignedRecord]:
    """One a second, from `begin` on."""
    return [signed(claim(f"label-{at}", at=at, domain=domain, note=note)) for at in range(begin, begin + count)]


HUNDRED = records(100)


def count_sent(end: End) -> int:
    """Records in all frames, repeats included."""
    return sum(len(message.records) for message in end.said if isinstance(message, Records))


def said(end: End, kind: type) -> list[object]:
    """The messages of one kind, in order."""
    return [message for message in end.said if isinstance(message, kind)]

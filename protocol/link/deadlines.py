"""How long a peer may leave something undone, as values: each wait begins, is renewed by progress, and ends.

A peer that does a little of one thing may not for that leave another undone, so each kind of wait has its own clock.
"""

from enum import StrEnum

from protocol.errors import Code, ProtocolError
from protocol.link.terms import LinkLimits


class Wait(StrEnum):
    """What a peer owes, in words for the goodbye."""

    GREETING = "its hello and its proof"
    ACK = "an ack of what it was sent"
    ANY_ACK = "any ack, long behind"
    ANSWER = "the records that it was asked for"
    RECONCILE = "its part of a reconciliation"
    LIST = "its list of domains"


class Deadlines:
    """Which waits are under way, and since when there was no progress."""

    def __init__(self, limits: LinkLimits) -> None:
        self._since: dict[Wait, float] = {}
        self._allowed_s = dict.fromkeys(Wait, limits.answer_s)
        self._allowed_s |= {Wait.GREETING: limits.handshake_s, Wait.ACK: limits.ack_s, Wait.ANY_ACK: limits.behind_s}

    @property
    def next_at(self) -> float | None:
        """When the first of them is over."""
        return min((since + self._allowed_s[wait] for wait, since in self._since.items()), default=None)

    def expect(self, wait: Wait, now: float, *, is_due: bool) -> None:
        """Begin to wait, or go on, or wait no more."""
        if is_due:
            self._since.setdefault(wait, now)
        else:
            self._since.pop(wait, None)

    def renew(self, wait: Wait, now: float) -> None:
        """The peer has done some of it."""
        if wait in self._since:
            self._since[wait] = now

    def check(self, now: float) -> None:
        """Raises: ProtocolError: `timeout`."""
        for wait, since in self._since.items():
            if now >= since + self._allowed_s[wait]:
                raise ProtocolError(Code.TIMEOUT, f"{self._allowed_s[wait]:g} s without {wait}")

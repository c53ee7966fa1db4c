"""How long a peer may leave something undone: each wait begins, starts again at each progress, and ends.

Each kind of wait has its own clock, because progress with one thing is no excuse to leave another thing undone.
"""

from enum import StrEnum

from protocol.errors import Code, ProtocolError
from protocol.link.terms import LinkLimits


class Wait(StrEnum):
    """What a peer owes, in words for the `error` frame."""

    GREETING = "its hello and its proof"
    ACK = "an ack of what it was sent"
    ANY_ACK = "any ack, long behind"
    ANSWER = "the records that it was asked for"
    RECONCILE = "its part of a reconciliation"
    LIST = "its list of domains"


class Deadlines:
    """Which waits are under way, and since when there was no progress."""

    def __init__(self, limits: LinkLimits) -> None:
        """Of `limits`, only `handshake_s`, `ack_s`, `behind_s` and `answer_s` count here."""
        self._since: dict[Wait, float] = {}
        self._allowed_s = dict.fromkeys(Wait, limits.answer_s)
        self._allowed_s |= {Wait.GREETING: limits.handshake_s, Wait.ACK: limits.ack_s, Wait.ANY_ACK: limits.behind_s}

    @property
    def next_at(self) -> float | None:
        """When the first wait is over; None: nothing is due."""
        return min((since + self._allowed_s[wait] for wait, since in self._since.items()), default=None)

    def expect(self, wait: Wait, now: float, *, is_due: bool) -> None:
        """Begin a wait, continue it, or end it if nothing is due."""
        if is_due:
            self._since.setdefault(wait, now)
        else:
            self._since.pop(wait, None)

    def renew(self, wait: Wait, now: float) -> None:
        """The peer has made progress: the wait starts again."""
        if wait in self._since:
            self._since[wait] = now

    def check(self, now: float) -> None:
        """Check that no wait is over.

        Raises:
            ProtocolError: `timeout`.
        """
        for wait, since in self._since.items():
            if now >= since + self._allowed_s[wait]:
                raise ProtocolError(Code.TIMEOUT, f"{self._allowed_s[wait]:g} s without {wait}")

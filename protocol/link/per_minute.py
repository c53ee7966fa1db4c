"""Per minute: a limit on what costs this node more than it costs the peer, such as a list of all domains."""

from typing import Final

from protocol.errors import Code, ProtocolError

_MINUTE_S: Final = 60.0


class PerMinute:
    """Counts what a peer does, and ends the link if the peer does too much of it within one minute.

    A minute begins with the first count after the last minute is over. A peer may therefore do twice as much within
    some 60 seconds, which is near enough for a limit that stops floods.
    """

    def __init__(self, things: str, things_max: int) -> None:
        """`things`: what is counted, in words for the peer. `things_max`: how many are allowed in one minute."""
        self._things = things
        self._things_max = things_max
        self._minute_began = 0.0
        self._this_minute = 0

    def count(self, number: int, now: float) -> None:
        """Count this many more.

        Raises:
            ProtocolError: `rate_limited` if there were too many in this minute.
        """
        if now - self._minute_began >= _MINUTE_S:
            self._minute_began, self._this_minute = now, 0
        self._this_minute += number
        if self._this_minute > self._things_max:
            detail = f"{self._this_minute} {self._things} within a minute: {self._things_max} at most"
            raise ProtocolError(Code.RATE_LIMITED, detail)

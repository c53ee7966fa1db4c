"""Standing: the place of this process in its fleet at this moment, for health, metrics and callers."""

from collections.abc import Callable
from enum import StrEnum
from typing import Final

STALE_S: Final = 10.0
"""After this many seconds without the database, a process that follows is no good place to read at."""


class Role(StrEnum):
    """What a process of a fleet does."""

    WRITER = "writer"
    FOLLOWER = "follower"


class Standing:
    """The standing of one process.

    `secret` seals passports. `seen_term` is the term of the writer as a process that follows has seen it, and
    `writer` the URL at which the writer answers, None if there is no writer. `seen_s` is when this process was last
    known to have everything, in seconds of `clock`.
    """

    def __init__(
        self,
        role: Role,
        secret: bytes,
        clock: Callable[[], float],
        commit: Callable[[], int],
        term: Callable[[], int] | None = None,
    ) -> None:
        """`commit` gives the number of the last commit that this process has. `term` gives that of a process that
        writes, which rises whenever its session is another one.
        """
        self.role = role
        self.secret = secret
        self.seen_term = 0
        self.writer: str | None = None
        self.seen_s = clock()
        self.forged_s = float("-inf")
        """When the log told of a wrong passport, in seconds since the Unix epoch."""
        self._clock = clock
        self._commit = commit
        self._term = term

    @property
    def term(self) -> int:
        """The term of the writer, as far as this process knows."""
        return self.seen_term if self._term is None else self._term()

    @property
    def commit(self) -> int:
        """The number of the last commit that this process has."""
        return self._commit()

    def lag_s(self) -> float:
        """Seconds by which this process may be behind the writer: since when it may have missed a commit."""
        return 0.0 if self.role is Role.WRITER else max(0.0, self._clock() - self.seen_s)

    @property
    def is_stale(self) -> bool:
        return self.lag_s() > STALE_S

    def shown(self, *, is_operator: bool) -> dict[str, object]:
        """This standing as answers show it. Where the writer answers is for operators only."""
        facts: dict[str, object] = {
            "role": self.role,
            "term": self.term,
            "commit": self.commit,
            "lag_s": round(self.lag_s(), 3),
        }
        return facts | ({"writer": self.writer} if is_operator else {})

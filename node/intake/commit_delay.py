"""How long a commit waits for more records: PostgreSQL's `commit_delay`, with a delay that is measured.

A commit costs two hand-overs between threads and an `fdatasync`, and it writes much the same pages for one record as
for several. Clients that wait for an answer before they send their next request come back right after a commit. If the
next commit began with what is queued at that moment, it would carry one half of the clients, and the other half would
always come too late for it. The two halves would also slow each other down: the writer's thread and the event loop
would both want the interpreter's lock. So a commit waits until as many records are queued as the last commit answered
and left in the queue.

The wait ends when the time since the last commit is `WAITED_COMMITS` times the duration of that commit. Then a commit
waits on only for records that have arrived and are being verified. If the records have not come, their clients may have
gone. Then the next commits wait for no client: twice as many after each wait that was in vain. A client that is alone
never waits, because no record but its own is expected.
"""

from typing import Final

TOGETHER_MAX: Final = 128
"""Records for which a commit begins at once. More of them would hardly make a record cheaper."""

WAITED_COMMITS: Final = 1.0
"""The longest wait for clients, in durations of the last commit. So a record that waits in vain is on disk at most
twice as late. With 2.0, commits had as many records: 7.9 over 8 connections, 41 to 44 over 64."""

WAIT_S_MAX: Final = 0.01
"""The longest time after the last commit, in seconds, for which a commit waits."""

WAIT_S_MIN: Final = 0.0001
"""A shorter wait, in seconds, is not worth a timer. A clock of coarse steps may not even see it pass."""

SKIPPED_MAX: Final = 64
"""Commits without a wait after a wait in vain, so that at most one commit in 65 is late for nothing."""


class CommitDelay:
    """Remembers the last commit, and whether waits were worth it. Times are those of the event loop, in seconds."""

    def __init__(self, wait_s_max: float = WAIT_S_MAX, waited_commits: float = WAITED_COMMITS) -> None:
        self._wait_s_max = wait_s_max
        self._waited_commits = waited_commits
        self._expected = 0
        self._took_s = 0.0
        self._ended_s = float("-inf")
        self._skips = 0
        self._skips_next = 1
        self._is_skipped = False

    def on_committed(self, expected: int, begun_s: float, ended_s: float) -> None:
        """A commit has ended. `expected`: its records, and those that were queued meanwhile."""
        self._expected = min(expected, TOGETHER_MAX)
        self._took_s = ended_s - begun_s
        self._ended_s = ended_s
        self._is_skipped = self._skips > 0
        self._skips = max(0, self._skips - 1)

    def is_enough(self, queued: int) -> bool:
        """Whether at most this many records are expected."""
        return queued >= self._expected

    def wait_s(self, queued: int, arrived: int, now_s: float) -> float:
        """How long the next commit waits before it asks again. 0: it begins now.

        `arrived`: records that are here and not decided yet. More of them than are missing belong to a batch, which
        takes longer.
        """
        missing = self._expected - queued
        since_s = now_s - self._ended_s
        left_s = self._wait_s_max - since_s
        if missing <= 0 or left_s < WAIT_S_MIN:
            return 0.0
        for_clients_s = min(left_s, self._waited_commits * self._took_s - since_s)
        if for_clients_s >= WAIT_S_MIN and not self._is_skipped:
            return for_clients_s
        return min(left_s, max(self._took_s, WAIT_S_MIN)) if 0 < arrived <= missing else 0.0

    def on_waited(self, *, have_come: bool) -> None:
        """The waits for a commit have ended. `have_come`: whether the records had come."""
        if have_come:
            self._skips_next = 1
        else:
            self._skips = self._skips_next
            self._skips_next = min(2 * self._skips_next, SKIPPED_MAX)

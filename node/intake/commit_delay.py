"""How long a commit waits for more records: PostgreSQL's `commit_delay`, with a delay that is measured.

A commit costs two hand-overs between threads and an `fdatasync`, and it writes much the same pages for one record as
for several. Clients that wait for an answer before they send their next request come back right after a commit. If the
next commit began with what is queued at that moment, it would carry one half of the clients, and the other half would
always come too late for it. The two halves would also slow each other down: the writer's thread and the event loop
would both want the interpreter's lock. So a commit waits until as many records are queued as the last commit answered
and left in the queue.

The wait ends when the time since the last commit is `WAITED_COMMITS` times the duration of that commit. If the records
have not come by then, their clients may have gone. Then the next commits do not wait: twice as many after each wait
that was in vain. A client that is alone never waits, because no record but its own is expected.
"""

from typing import Final

TOGETHER_MAX: Final = 128
"""Records for which a commit begins at once. More of them would hardly make a record cheaper."""

WAITED_COMMITS: Final = 2.0
"""The longest wait, in durations of the last commit. All of 64 clients were back by then, on a machine with two cores
and a load of 8."""

WAIT_S_MAX: Final = 0.01
"""The longest wait, in seconds, whatever the last commit took."""

SKIPPED_MAX: Final = 64
"""Commits without a wait after a wait in vain, so that at most one commit in 65 is late for nothing."""


class CommitDelay:
    """Remembers the last commit, and whether waits were worth it. Times are those of the event loop, in seconds."""

    def __init__(self, wait_s_max: float = WAIT_S_MAX, waited_commits: float = WAITED_COMMITS) -> None:
        self._wait_s_max = wait_s_max
        self._waited_commits = waited_commits
        self._expected = 0
        self._until_s = float("-inf")
        self._skips = 0
        self._skips_next = 1

    def on_committed(self, expected: int, begun_s: float, ended_s: float) -> None:
        """A commit has ended. `expected`: its records, and those that were queued meanwhile."""
        self._expected = min(expected, TOGETHER_MAX)
        self._until_s = ended_s + min(self._waited_commits * (ended_s - begun_s), self._wait_s_max)

    def is_enough(self, queued: int) -> bool:
        """Whether no more than so many records are expected."""
        return queued >= self._expected

    def wait_s(self, now_s: float) -> float:
        """How long a commit waits for which the queue is not enough. 0: it begins now."""
        if now_s >= self._until_s:
            return 0.0
        if self._skips:
            self._skips -= 1
            return 0.0
        return self._until_s - now_s

    def on_waited(self, *, have_come: bool) -> None:
        """A wait has ended. `have_come`: whether it ended because the records had come."""
        if have_come:
            self._skips_next = 1
        else:
            self._skips = self._skips_next
            self._skips_next = min(2 * self._skips_next, SKIPPED_MAX)

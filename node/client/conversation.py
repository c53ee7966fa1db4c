"""A conversation: what a client asks a node, as a generator that knows no connection and no clock.

A conversation yields requests and pauses, and is sent the answer to each request. So a command, which blocks, and an
application with an event loop ask the same questions and draw the same conclusions: `NodeClient.converse` carries out a
conversation on a blocking connection, `Client` on an asynchronous one.

Every request of this client may be sent twice. A read changes nothing, and a record has one id however often it comes:
the node answers `known`. So a request whose answer was lost is sent again without a thought.
"""

from collections.abc import Generator, Mapping
from random import Random
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec

from node.client.answers import Answer
from node.client.errors import Unreachable

WAIT_S_MIN: Final = 0.25
WAIT_S_MAX: Final = 30.0
"""Seconds to wait before the next try. The limit doubles with each failure, and the wait is drawn between half the
limit and the limit, so that clients that were cut off together do not come back together.
"""

NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

PASSING: Final = frozenset({429, 502, 503, 504})
"""Statuses of refusals that pass with time: a node or a proxy is busy or limits the rate, or the node behind a
proxy starts again.
"""

_T = TypeVar("_T")


class Request(msgspec.Struct, frozen=True):
    """A request that may be sent twice. `wait_s`: for how many seconds the node may think before it answers."""

    method: str
    path: str
    query: Mapping[str, str] = NO_HEADERS
    body: bytes | None = None
    headers: Mapping[str, str] = NO_HEADERS
    wait_s: float = 0.0


class Pause(msgspec.Struct, frozen=True):
    """Wait for this many seconds. `reason` is for people."""

    seconds: float
    reason: str


Step = Request | Pause
Conversation = Generator[Step, Answer | None, _T]
"""Yields requests, to be sent their answers, and pauses, to be sent None. If no answer comes, `Unreachable` is thrown
into it."""


class Backoff:
    """Draws the time to wait after each failure in a row."""

    def __init__(self, random: Random | None = None) -> None:
        """`random` draws the waits; None: a generator of its own."""
        self._random = random or Random()
        self._failures = 0

    def reset(self) -> None:
        """A try succeeded."""
        self._failures = 0

    def draw_s(self, asked_s: float | None = None) -> float:
        """Seconds to wait after one more failure; never less than `asked_s`, what the node asks for."""
        limit_s = min(WAIT_S_MAX, WAIT_S_MIN * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        return max(self._random.uniform(limit_s / 2, limit_s), asked_s or 0.0)


class Retry(msgspec.Struct, frozen=True):
    """How often a request is sent at most, and how many seconds all waits for one request may take together."""

    tries_max: int = 5
    wait_s_max: float = 60.0


DEFAULT_RETRY: Final = Retry()
NO_RETRY: Final = Retry(tries_max=1)


def ask(request: Request) -> Conversation[Answer]:
    """The answer to a request, with any status. Raises: Unreachable."""
    answer = yield request
    assert answer is not None, "a request is followed by its answer"
    return answer


def ask_again(request: Request, retry: Retry) -> Conversation[Answer]:
    """The answer to a request that is sent again while the node is away or busy. `Retry-After` is respected.

    If the limits of `retry` are reached, or the node asks for a longer wait, the last answer is returned.

    Raises:
        Unreachable: no node answers, and that does not pass, or did not pass in time.
    """
    backoff, left_s = Backoff(), retry.wait_s_max
    tries_left = retry.tries_max
    while True:
        tries_left -= 1
        failure: Unreachable | None = None
        answer: Answer | None = None
        try:
            answer = yield from ask(request)
        except Unreachable as error:
            failure = error
        if answer is not None and answer.status not in PASSING:
            return answer
        wait_s = backoff.draw_s(None if answer is None else answer.retry_after_s)
        if tries_left <= 0 or wait_s > left_s or (failure is not None and not failure.is_passing):
            break
        left_s -= wait_s
        yield Pause(wait_s, str(failure or "the node is busy"))
    if answer is None:
        assert failure is not None, "either an answer came or none"
        raise failure
    return answer

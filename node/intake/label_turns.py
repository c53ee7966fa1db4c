"""Turns at labels: who asks about a label first also decides first, however long the answers take.

A record of a label is asked about only when the one before it is decided, because the question says what would become
of the record, and because records of one label must not overtake each other. Nobody waits for records of other labels.
"""

import asyncio
from collections import deque
from collections.abc import Iterable

from node.store.contract import LabelKey


class LabelTurn:
    """A place in the lines of some labels. `ready` is done when this place is the first in each of them."""

    __slots__ = ("behind", "keys", "ready")

    def __init__(self, keys: frozenset[LabelKey]) -> None:
        self.keys = keys
        self.behind = 0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class LabelTurns:
    """The lines of all labels at which somebody has a turn or waits for one.

    A place in several lines is taken at once in all of them, so nobody waits in a circle.
    """

    def __init__(self) -> None:
        self._lines: dict[LabelKey, deque[LabelTurn]] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def enter(self, keys: Iterable[LabelKey]) -> LabelTurn:
        """Take a place at the end of these lines."""
        turn = LabelTurn(frozenset(keys))
        for key in turn.keys:
            line = self._lines.setdefault(key, deque())
            turn.behind += bool(line)
            line.append(turn)
        if not turn.behind:
            turn.ready.set_result(None)
        return turn

    def leave(self, turn: LabelTurn) -> None:
        """Give up the place: what the turn was for is decided, or will not be."""
        for key in turn.keys:
            line = self._lines[key]
            if line[0] is not turn:
                line.remove(turn)
                continue
            line.popleft()
            if line:
                self._advance(line[0])
            else:
                del self._lines[key]

    def _advance(self, turn: LabelTurn) -> None:
        """The turn is first in one line more."""
        turn.behind -= 1
        if not turn.behind and not turn.ready.done():
            turn.ready.set_result(None)

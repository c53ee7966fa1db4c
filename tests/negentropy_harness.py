"""The test protocol of Negentropy's implementations, on stdin and stdout: `python -m tests.negentropy_harness`.

Input, one command a line: `item,TIMESTAMP,ID` for each record; then `seal`; then `initiate` on the initiator's side, or
`msg,HEX` with a message of the other side. Output: `msg,HEX` with a message for the other side, and on the initiator's
side `have,ID` and `need,ID` for each difference and `done` at the end. The environment variable FRAMESIZELIMIT is the
largest number of bytes in a message; 0 or unset means no limit. A mistake ends the program with one line on standard
error.
"""

import os
import sys
from collections.abc import Iterable, Iterator

from protocol.errors import ProtocolError
from protocol.sets.index import ID_BYTES, Index, pack_key
from protocol.sets.negentropy import Initiator, Responder
from protocol.sets.negentropy_message import FRAME_BYTES_MIN
from protocol.sets.varint import VARINT_MAX


class Harness:
    """One side of a reconciliation, in lines of text."""

    def __init__(self, frame_bytes_max: int) -> None:
        if frame_bytes_max and frame_bytes_max < FRAME_BYTES_MIN:
            raise ValueError(f"FRAMESIZELIMIT is {frame_bytes_max}: use 0, or {FRAME_BYTES_MIN} or more")
        self._frame_bytes_max = frame_bytes_max
        self._keys: list[bytes] = []
        self._index: Index | None = None
        self._initiator: Initiator | None = None

    def answers(self, line: str) -> Iterator[str]:
        """The lines to print after one line of input."""
        match line.strip().split(","):
            case [""]:
                pass
            case ["item", timestamp, record_id] if self._index is None:
                self._keys.append(_key(int(timestamp), bytes.fromhex(record_id)))
            case ["seal"] if self._index is None:
                self._index = Index(self._keys)
            case ["initiate"] if self._index is not None and self._initiator is None:
                self._initiator = Initiator(self._index, self._frame_bytes_max)
                yield self._message(self._initiator.initiate())
            case ["msg", message] if self._initiator is not None:
                yield from self._learn(self._initiator, bytes.fromhex(message))
            case ["msg", message] if self._index is not None:
                yield self._message(Responder(self._index, self._frame_bytes_max).answer(bytes.fromhex(message)))
            case _:
                raise ValueError(f"not understood, or not its turn: {line.strip()[:80]!r}")

    def _learn(self, initiator: Initiator, message: bytes) -> Iterator[str]:
        difference = initiator.answer(message)
        yield from (f"have,{record_id.hex()}" for record_id in difference.have)
        yield from (f"need,{record_id.hex()}" for record_id in difference.need)
        yield "done" if difference.reply is None else self._message(difference.reply)

    def _message(self, message: bytes) -> str:
        assert not self._frame_bytes_max or len(message) <= self._frame_bytes_max
        return f"msg,{message.hex()}"


def _key(timestamp: int, record_id: bytes) -> bytes:
    if not 0 <= timestamp < VARINT_MAX or len(record_id) != ID_BYTES:
        raise ValueError("an item has a timestamp of 64 bits, not the highest, and an id of 64 hex digits")
    return pack_key(timestamp, record_id)


def main(lines: Iterable[str]) -> str | None:
    """Run until the input ends. Returns what went wrong, or None."""
    try:
        harness = Harness(int(os.environ.get("FRAMESIZELIMIT") or "0"))
        for line in lines:
            for answer in harness.answers(line):
                print(answer, flush=True)  # noqa: T201 (printing is the protocol)
    except (ProtocolError, ValueError) as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.stdin))

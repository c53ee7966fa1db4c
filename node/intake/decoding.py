"""Decoding: the one step that turns the bytes of a submission into a record, and what it costs the sender.

Nearly all bytes are canonical already, and the fast path proves it in a few microseconds. Other bytes cost the node 20
to 40 times as much. So they count more against the quota of their sender, and large ones are decoded in a thread.
"""

from collections.abc import Hashable
from typing import Final

from node.exact_decoding import Decoder
from node.fairness.turns import Turns
from node.intake.arrivals import Origin, Submission
from node.intake.room import Room
from protocol.records.quota import EXACT_WEIGHT
from protocol.records.record import (
    Record,
    SignedRecord,
    check_canonical,
    check_signature_spelling,
    decode,
    decode_quickly,
)

INLINE_BYTES_MAX: Final = 1_024
"""Bytes that are decoded at once, in less than 0.5 ms, because the way to the thread and back costs 0.1 ms."""


class Decoding:
    """Decodes submissions. `turns` are shared with all other long work of the node."""

    def __init__(self, decoder: Decoder, room: Room, turns: Turns) -> None:
        """`decoder` is used for large records. `room` counts what each address causes."""
        self.turns = turns
        self._decoder = decoder
        self._room = room

    async def decode(self, submission: Submission, origin: Origin, link: int | None = None) -> SignedRecord:
        """The record of a submission, with its signature, which may be false.

        `link` is the number of the link that brought the submission, None for everything else. What comes over a link
        must be canonical.

        Raises:
            ProtocolError: `malformed` or `too_large`.
        """
        return self.decode_now(submission) or await self.decode_exactly(submission, origin, link)

    def decode_now(self, submission: Submission) -> SignedRecord | None:
        """The same for canonical bytes, as nearly all are; None: only `decode_exactly` can tell what these bytes are.

        Raises:
            ProtocolError: `malformed`.
        """
        check_signature_spelling(submission.signature)
        record = decode_quickly(submission.body)
        return None if record is None else SignedRecord(submission.signature, record)

    async def decode_exactly(self, submission: Submission, origin: Origin, link: int | None = None) -> SignedRecord:
        """The same for bytes of which `decode_now` cannot tell."""
        record = await self._decode_body(submission.body, origin, link)
        if link is not None:
            check_canonical(record, submission.body)
        return SignedRecord(submission.signature, record)

    async def _decode_body(self, body: bytes, origin: Origin, link: int | None) -> Record:
        self._room.count_bytes(origin, (EXACT_WEIGHT - 1) * len(body))
        if len(body) <= INLINE_BYTES_MAX:
            return decode(body)
        source: Hashable = link if origin.address is None else origin.address
        return await self._decoder.decode(body, source)

"""Verification and decoding without threads.

A signature is genuine or not on every node alike, so each is verified once a run.
"""

from collections.abc import Hashable, Sequence
from typing import Final

from protocol.records.record import Record, SignedRecord, decode

REMEMBERED_MAX: Final = 200_000


class Verdicts:
    """What was found out so far, by signature and record id."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], bool] = {}

    def is_genuine(self, signed: SignedRecord) -> bool:
        key = (signed.signature, signed.record.id)
        verdict = self._known.get(key)
        if verdict is None:
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            verdict = self._known[key] = signed.is_genuine()
        return verdict


class InlineDecoder:
    """A node's decoder; see `node.exact_decoding.Decoder`."""

    async def decode(self, data: bytes, source: Hashable) -> Record:  # noqa: ARG002
        return decode(data)

    def close(self) -> None:
        """Nothing runs."""


class InlineVerifier:
    """A node's verifier; see `node.verification.verifier.Verifier`."""

    def __init__(self, verdicts: Verdicts) -> None:
        self._verdicts = verdicts

    async def verify(self, records: Sequence[SignedRecord], *, is_alone: bool = False) -> list[bool]:  # noqa: ARG002
        return [self._verdicts.is_genuine(signed) for signed in records]

    def close(self) -> None:
        """Nothing runs."""

"""Verification and decoding without threads.

Whether a signature is genuine does not depend on the node, so each signature is verified once in a run.
"""

from collections.abc import Hashable, Sequence
from typing import Final

from protocol.records.record import Record, SignedRecord, decode

REMEMBERED_MAX: Final = 200_000
"""Signatures whose result is remembered: more than any run has. Past the limit all are forgotten."""


class Verdicts:
    """Whether each signature is genuine, as far as it was verified: by signature and record id."""

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
    """Decodes in the caller's own turn of the loop, in the place of `node.exact_decoding.Decoder`."""

    async def decode(self, data: bytes, source: Hashable) -> Record:  # noqa: ARG002
        return decode(data)

    def close(self) -> None:
        """Do nothing, because no thread runs."""


class InlineVerifier:
    """Verifies in the caller's own turn of the loop, in the place of `node.verification.verifier.Verifier`."""

    def __init__(self, verdicts: Verdicts) -> None:
        """`verdicts`: shared by all nodes of a run."""
        self._verdicts = verdicts

    async def verify(self, records: Sequence[SignedRecord], *, is_alone: bool = False) -> list[bool]:  # noqa: ARG002
        return [self._verdicts.is_genuine(signed) for signed in records]

    def close(self) -> None:
        """Do nothing, because no thread runs."""

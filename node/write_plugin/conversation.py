"""The lines between a node and the operator's program: one JSON object a line, in either direction.

The node asks about one record in a line, and the program answers with the id of the record, in any order:

    {"id": "…", "domain": "…", "label": "…", "signedby": "…", "timestamp": 1, "trust": "client", "address": "192.0.2.7",
     "record": {…}, "verdict": "founded"}
    {"id": "…", "action": "accept"}
    {"id": "…", "action": "reject", "message": "what the client is told"}

This module writes and reads lines and does no I/O. An answer that makes no sense is a fault of the program, because
nobody can say which record a misunderstood answer would let in.
"""

from typing import Final, Literal

import msgspec

from protocol.records.admission import Trust
from protocol.records.record import Record
from protocol.records.replay import Verdict

ANSWER_BYTES_MAX: Final = 16_384
"""Bytes of an answer. Enough for a message of some sentences."""

MESSAGE_CHARACTERS_MAX: Final = 500
"""Characters of a message that a client is shown. The rest is cut off."""

PLUGIN_RULE: Final = "write_plugin"
"""The fact `rule` of a refusal by the program."""

_SHOWN_BYTES: Final = 80


class PluginFaultError(Exception):
    """The program does not keep to the conversation. The text says how."""


class Question(msgspec.Struct, frozen=True):
    """One record about which the program is asked.

    `address` is the client's, None for a client on the node's machine. `verdict` is what replay would say of the record
    as the label is now.
    """

    record: Record
    trust: Trust
    address: str | None
    verdict: Verdict

    def as_line(self) -> bytes:
        record = self.record
        fields = _Line(
            record.id,
            record.domain,
            record.label,
            record.signedby,
            record.timestamp,
            self.trust,
            self.address,
            msgspec.Raw(record.canonical),
            self.verdict,
        )
        return _encoder.encode(fields) + b"\n"


class Answer(msgspec.Struct, frozen=True):
    """What the program says of a record. Fields that are not known are ignored."""

    id: str
    action: Literal["accept", "reject"]
    message: str | None = None

    @property
    def is_accepted(self) -> bool:
        return self.action == "accept"


class _Line(msgspec.Struct, frozen=True):
    id: str
    domain: str
    label: str
    signedby: str
    timestamp: int
    trust: Trust
    address: str | None
    record: msgspec.Raw
    verdict: Verdict


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Answer)


def read_answer(line: bytes) -> Answer:
    """The answer in this line.

    Raises:
        PluginFaultError: the line is no answer.
    """
    try:
        answer = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        shown = line[:_SHOWN_BYTES].decode(errors="replace")
        raise PluginFaultError(f"it wrote a line that is no answer, {shown!r}: {error}") from error
    if answer.message is not None and len(answer.message) > MESSAGE_CHARACTERS_MAX:
        return msgspec.structs.replace(answer, message=answer.message[:MESSAGE_CHARACTERS_MAX])
    return answer

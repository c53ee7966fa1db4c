"""The frames of a link: what two nodes can say to each other, and the one place that reads and writes frames.

A frame is one JSON object in one WebSocket text message, and its `type` names the message. This module checks the
shape, spelling and length of every field once, so that no code behind it meets an endless list or a malformed key. A
type or a field that this version does not know is no error, because later versions may add both. Any other deviation is
the peer's fault and ends the link.

A record stands in a frame in the canonical bytes that were signed. The decoder keeps these bytes as they are
(`msgspec.Raw`), and the node refuses a record in any other spelling when it takes the record in.
"""

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from protocol.errors import Code, ProtocolError
from protocol.limits import DOMAIN_CHARACTERS_MAX, DOMAIN_PATTERN, HOPS_MAX, IDS_MAX, SAFE_INTEGER_MAX
from protocol.records.record import SignedRecord
from protocol.sets.index import FINGERPRINT_BYTES, pack_key

LINK_VERSION: Final = 1

FRAME_BYTES_MAX: Final = 1_048_576
"""One text message. Fifteen of the largest records fit, or 256 records of 3.8 kB each."""

RECORDS_MAX: Final = 256
"""Records of one frame: four times what one verification task takes."""

DOMAINS_PAGE_MAX: Final = 500
"""Domains of one page: 180 kB if all names have their greatest length."""

ITEM_OVERHEAD_BYTES: Final = len('{"signature":"","record":},') + 128
"""Bytes of a record in a frame beside its canonical bytes."""

REFUSED_MAX: Final = 8_192
"""Refusals of one `ack`: 700 kB, and more than a full window of records."""

RECONCILE_BYTES_MAX: Final = 131_072
"""A message of Negentropy, decoded. Our messages have at most half of that; a peer may choose its own limit up to
here."""

AGENT_CHARACTERS_MAX: Final = 200
FEATURES_MAX: Final = 32
INSTANCE_CHARACTERS_MAX: Final = 64
DETAIL_CHARACTERS_MAX: Final = 1_000
CODE_CHARACTERS_MAX: Final = 64

_Hex32 = Annotated[str, msgspec.Meta(pattern=rf"^[0-9a-f]{{{2 * FINGERPRINT_BYTES}}}\Z")]
_Hex64 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Hex128 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{128}\Z")]
_Domain = Annotated[
    str,
    msgspec.Meta(max_length=DOMAIN_CHARACTERS_MAX, pattern=DOMAIN_PATTERN),
]
_Count = Annotated[int, msgspec.Meta(ge=0, le=SAFE_INTEGER_MAX)]
_Seq = Annotated[int, msgspec.Meta(ge=1, le=SAFE_INTEGER_MAX)]
_Hops = Annotated[int, msgspec.Meta(ge=0, le=HOPS_MAX)]
_Feature = Annotated[str, msgspec.Meta(max_length=32)]
_Ids = Annotated[tuple[_Hex64, ...], msgspec.Meta(max_length=IDS_MAX)]
_CodeText = Annotated[str, msgspec.Meta(max_length=CODE_CHARACTERS_MAX)]


class Hello(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    """This is my key. `push`: I will push to you. `pull`: I want your records.

    The first frame in each direction. `node` is a node key, `nonce` 64 hex digits, `agent` text for people. `time` is
    the sender's clock in seconds since the Unix epoch; None: the sender does not say it. `features`: see
    `protocol.link.features`. `instance` is what the sender drew when it started, so that two processes with one key are
    told apart; empty: the sender does not say it.
    """

    version: int
    node: _Hex64
    nonce: _Hex64
    agent: Annotated[str, msgspec.Meta(max_length=AGENT_CHARACTERS_MAX)] = ""
    push: bool = False
    pull: bool = False
    time: _Count | None = None
    features: Annotated[tuple[_Feature, ...], msgspec.Meta(max_length=FEATURES_MAX)] = ()
    instance: Annotated[str, msgspec.Meta(max_length=INSTANCE_CHARACTERS_MAX)] = ""


class Auth(msgspec.Struct, frozen=True, tag_field="type", tag="auth"):
    """I hold the key that my hello names. The second frame in each direction."""

    signature: _Hex128


class Summary(msgspec.Struct, frozen=True):
    """What a node holds of a domain. `newest` is the highest timestamp in seconds; None: no record."""

    count: _Count
    fingerprint: _Hex32
    newest: _Count | None = None


class Domains(msgspec.Struct, frozen=True, tag_field="type", tag="domains"):
    """I hold these domains. `more`: another page follows; otherwise the list is complete."""

    domains: Annotated[dict[_Domain, Summary], msgspec.Meta(max_length=DOMAINS_PAGE_MAX)]
    more: bool = False


class Since(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="since"):
    """Send me all records of that domain from this timestamp on, in seconds and inclusive, oldest first.

    `fingerprint`: of the records that I hold with exactly this timestamp; None: I do not say. If you hold the same
    records of it, begin after them.
    """

    domain: _Domain
    timestamp: _Count
    fingerprint: _Hex32 | None = None


class Item(msgspec.Struct, frozen=True, gc=False):
    """What should be a record: its signature, and its bytes as they stand in the frame. Only known to be JSON."""

    signature: str
    record: msgspec.Raw

    @property
    def body(self) -> bytes:
        """The record's bytes, copied, because otherwise the whole frame would stay in memory as long as they do."""
        return bytes(self.record)


class Records(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="records"):
    """Here are records. `seq` counts 1, 2, … in each direction. `domain`: they answer `since` for this domain.

    `hops`: how many links these live records have crossed when they arrive; 0 and 1 mean the same. None: they come from
    a catch-up or a repair.
    """

    seq: _Seq
    domain: _Domain | None = None
    hops: _Hops | None = None
    records: Annotated[tuple[Item, ...], msgspec.Meta(min_length=1, max_length=RECORDS_MAX)]


class Ack(msgspec.Struct, frozen=True, tag_field="type", tag="ack"):
    """I have committed everything up to and including this frame. `refused`: codes by id, since my last ack."""

    seq: _Seq
    refused: Annotated[dict[_Hex64, _CodeText], msgspec.Meta(max_length=REFUSED_MAX)] = msgspec.field(
        default_factory=dict
    )


class CaughtUp(msgspec.Struct, frozen=True, tag_field="type", tag="caught_up"):
    """These were all the records that I had. The fields say what I hold of the domain now."""

    domain: _Domain
    count: _Count
    fingerprint: _Hex32


class Reconcile(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="reconcile"):
    """A message of a reconciliation of that domain, base64 in the frame. Empty: the reconciliation is done.

    `agreed`, in the last message of a repair: neither side lacks a record that should flow to it.
    """

    domain: _Domain
    message: Annotated[bytes, msgspec.Meta(max_length=RECONCILE_BYTES_MAX)]
    agreed: bool = False


class Have(msgspec.Struct, frozen=True, tag_field="type", tag="have"):
    """I hold these records and do not push them to you. `hops`: what `records` would say."""

    ids: _Ids
    hops: _Hops = 0


class Want(msgspec.Struct, frozen=True, tag_field="type", tag="want"):
    """Send me these records. `eager`: push to me from now on; `ids` may then be empty."""

    ids: _Ids
    eager: bool = False


class Erased(msgspec.Struct, frozen=True, tag_field="type", tag="erased"):
    """I hold these records of that domain, and do not send them, because my operator erased them. Ask another node.

    `keys` are `[timestamp, id]`, the timestamp in seconds.
    """

    domain: _Domain
    keys: Annotated[tuple[tuple[_Count, _Hex64], ...], msgspec.Meta(max_length=IDS_MAX)]

    @property
    def packed(self) -> list[bytes]:
        """The keys as an index has them."""
        return [pack_key(timestamp, bytes.fromhex(record_id)) for timestamp, record_id in self.keys]


class Prune(msgspec.Struct, frozen=True, tag_field="type", tag="prune"):
    """Others push to me already. Send me `have` instead."""


class Notice(msgspec.Struct, frozen=True, tag_field="type", tag="notice"):
    """Something is wrong, and the link goes on. Your operator should know."""

    code: _CodeText
    detail: Annotated[str, msgspec.Meta(max_length=DETAIL_CHARACTERS_MAX)] = ""


class Error(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """I close the link for this reason."""

    code: _CodeText
    detail: Annotated[str, msgspec.Meta(max_length=DETAIL_CHARACTERS_MAX)] = ""


Message = (
    Hello
    | Auth
    | Domains
    | Since
    | Records
    | Ack
    | CaughtUp
    | Reconcile
    | Have
    | Want
    | Erased
    | Prune
    | Notice
    | Error
)


class _Typed(msgspec.Struct):
    """A frame of any type."""

    type: str


_TYPES: Final = frozenset(kind.__struct_config__.tag for kind in Message.__args__)
_NO_RECORDS: Final = b"[]}"
_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_type_decoder = msgspec.json.Decoder(_Typed)


def encode(message: Message) -> str:
    """The text of a frame."""
    return _encoder.encode(message).decode()


def decode(text: str) -> Message | None:
    """The message in a frame; None for a type that this version does not know: the caller ignores the frame.

    Raises:
        ProtocolError: `too_large` for more than FRAME_BYTES_MAX, otherwise `malformed`. No text raises another error.
    """
    data = _utf8(text)
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        if _is_of_unknown_type(data):
            return None
        raise ProtocolError(Code.MALFORMED, f"not a frame of this protocol: {error}") from error


def encode_records(seq: int, records: Iterable[SignedRecord], domain: str | None = None, hops: int = 0) -> str:
    """The text of a `records` frame, joined from the records' own bytes in 0.25 µs a record.

    `hops` 0: the records are not live.
    """
    head = _encoder.encode(Records(seq=seq, domain=domain, hops=hops or None, records=()))
    assert head.endswith(_NO_RECORDS)
    items = b",".join(
        b'{"signature":"%b","record":%b}' % (signed.signature.encode(), signed.record.canonical) for signed in records
    )
    return (head.removesuffix(_NO_RECORDS[1:]) + items + _NO_RECORDS[1:]).decode()


def _utf8(text: str) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise ProtocolError(Code.MALFORMED, "not a frame of this protocol: a lone surrogate in the text") from error
    if len(data) > FRAME_BYTES_MAX:
        raise ProtocolError(Code.TOO_LARGE, f"a frame of {len(data)} bytes: {FRAME_BYTES_MAX} at most")
    return data


def _is_of_unknown_type(data: bytes) -> bool:
    try:
        return _type_decoder.decode(data).type not in _TYPES
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False

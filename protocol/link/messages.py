"""The frames of a link: what two nodes can say to each other, and the one place that reads and writes it.

A frame is one JSON object in one WebSocket text message, and its `type` says which. What it holds is checked here once,
shape, spelling and length, so that no machine behind it meets a list without an end or a key that is none. A type that
this version does not know is no error, nor is a field: later versions may add both. Everything else that is not as it
should be is the peer's fault, and ends the link.

Records stand in a frame as the canonical bytes that were signed, not as a text that spells the same: what is read is
kept byte for byte (`msgspec.Raw`), and whoever takes the records in refuses other spellings.
"""

from collections.abc import Iterable
from typing import Annotated, Final

import msgspec

from protocol.errors import Code, ProtocolError
from protocol.limits import DOMAIN_CHARACTERS_MAX, DOMAIN_PATTERN, HOPS_MAX, IDS_MAX, SAFE_INTEGER_MAX
from protocol.records.record import SignedRecord
from protocol.sets.index import FINGERPRINT_BYTES

LINK_VERSION: Final = 1

FRAME_BYTES_MAX: Final = 1_048_576
"""One text message. Sixteen of the largest records fit, or 256 of four kilobytes each."""

RECORDS_MAX: Final = 256
"""Records of one frame: what verification takes in at once for the price of one task, several times over."""

DOMAINS_PAGE_MAX: Final = 500
"""Domains of one page, 180 kB where all names are as long as they may be."""

ITEM_OVERHEAD_BYTES: Final = len('{"signature":"","record":},') + 128
"""What a record costs in a frame beside its canonical bytes."""

REFUSED_MAX: Final = 8_192
"""Refusals of one `ack`, 700 kB: more than a window of records in flight."""

RECONCILE_BYTES_MAX: Final = 131_072
"""A message of Negentropy, decoded. Ours are half of that; a peer may choose its own limit, up to here."""

AGENT_CHARACTERS_MAX: Final = 200
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
_Ids = Annotated[tuple[_Hex64, ...], msgspec.Meta(max_length=IDS_MAX)]
_CodeText = Annotated[str, msgspec.Meta(max_length=CODE_CHARACTERS_MAX)]


class Hello(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    """Who I am; I will push to you; I want yours. First, both ways. `node` is a node key, `nonce` 64 hex digits."""

    version: int
    node: _Hex64
    nonce: _Hex64
    agent: Annotated[str, msgspec.Meta(max_length=AGENT_CHARACTERS_MAX)] = ""
    push: bool = False
    pull: bool = False


class Auth(msgspec.Struct, frozen=True, tag_field="type", tag="auth"):
    """I hold the key that my hello names. Second, both ways."""

    signature: _Hex128


class Summary(msgspec.Struct, frozen=True):
    """What a node holds of a domain: how many records, their fingerprint, the highest timestamp (None: no record)."""

    count: _Count
    fingerprint: _Hex32
    newest: _Count | None = None


class Domains(msgspec.Struct, frozen=True, tag_field="type", tag="domains"):
    """What I hold; `more`: the next page follows, else the list is complete."""

    domains: Annotated[dict[_Domain, Summary], msgspec.Meta(max_length=DOMAINS_PAGE_MAX)]
    more: bool = False


class Since(msgspec.Struct, frozen=True, tag_field="type", tag="since"):
    """Send me everything of that domain from this timestamp on (inclusive, in seconds), oldest first."""

    domain: _Domain
    timestamp: _Count


class Item(msgspec.Struct, frozen=True, gc=False):
    """One record on the wire: its signature, and its canonical bytes as they stand in the frame.

    Not yet a record: nothing of it was checked but that it is JSON.
    """

    signature: str
    record: msgspec.Raw

    @property
    def body(self) -> bytes:
        """The record's bytes, copied out of the frame, which would else stay in memory as long as they do."""
        return bytes(self.record)


class Records(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="records"):
    """Here they are. `seq` counts 1, 2, … in each direction; `domain` where they answer `since`.

    `hops`: how many links this news has crossed when it arrives, 0 and 1 being the same; None: no news, but from a
    catch-up or a repair.
    """

    seq: _Seq
    domain: _Domain | None = None
    hops: _Hops | None = None
    records: Annotated[tuple[Item, ...], msgspec.Meta(min_length=1, max_length=RECORDS_MAX)]


class Ack(msgspec.Struct, frozen=True, tag_field="type", tag="ack"):
    """Committed up to and with the frame of this number; these of them were refused, by id, since the last ack."""

    seq: _Seq
    refused: Annotated[dict[_Hex64, _CodeText], msgspec.Meta(max_length=REFUSED_MAX)] = msgspec.field(
        default_factory=dict
    )


class CaughtUp(msgspec.Struct, frozen=True, tag_field="type", tag="caught_up"):
    """That was all that I had: what I hold of the domain, now."""

    domain: _Domain
    count: _Count
    fingerprint: _Hex32


class Reconcile(msgspec.Struct, frozen=True, tag_field="type", tag="reconcile"):
    """One message of a reconciliation of that domain, base64 in the frame; empty: done."""

    domain: _Domain
    message: Annotated[bytes, msgspec.Meta(max_length=RECONCILE_BYTES_MAX)]


class Have(msgspec.Struct, frozen=True, tag_field="type", tag="have"):
    """I hold these and do not push them. `hops`: what a push of them would say."""

    ids: _Ids
    hops: _Hops = 0


class Want(msgspec.Struct, frozen=True, tag_field="type", tag="want"):
    """Send me these; and, if `eager`, push to me from now on, and then there may be none."""

    ids: _Ids
    eager: bool = False


class Prune(msgspec.Struct, frozen=True, tag_field="type", tag="prune"):
    """Do not push to me what others push already: tell me what you have."""


class Error(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """Why I close."""

    code: _CodeText
    detail: Annotated[str, msgspec.Meta(max_length=DETAIL_CHARACTERS_MAX)] = ""


Message = Hello | Auth | Domains | Since | Records | Ack | CaughtUp | Reconcile | Have | Want | Prune | Error


class _Typed(msgspec.Struct):
    """Any frame at all."""

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
    """The message in a frame; None for a type that this version does not know, which is to be ignored.

    Raises:
        ProtocolError: `too_large` beyond FRAME_BYTES_MAX, else `malformed`; nothing else, whatever the text is.
    """
    data = _utf8(text)
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        if _is_of_unknown_type(data):
            return None
        raise ProtocolError(Code.MALFORMED, f"not a frame of this protocol: {error}") from error


def encode_records(seq: int, records: Iterable[SignedRecord], domain: str | None = None, hops: int = 0) -> str:
    """The text of a `records` frame, joined from bytes that exist: a quarter of a microsecond a record. `hops` 0: no
    news.
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

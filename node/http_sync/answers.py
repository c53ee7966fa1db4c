"""A peer's answers as typed values. Any answer that has not the agreed shape is a `ProtocolError`.

A peer is trusted with nothing here: it may be broken, another program, or in the hands of an attacker.
"""

from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from node.console.visible_text import clipped
from protocol.errors import Code, ProtocolError
from protocol.limits import SAFE_INTEGER_MAX, SPELLING_BYTES_MAX
from protocol.link.features import is_shared
from protocol.link.messages import INSTANCE_CHARACTERS_MAX
from protocol.records.record import SignedRecord, is_domain, is_id
from protocol.sets.index import pack_key
from protocol.signing import is_key

LINE_BYTES_MAX: Final = SPELLING_BYTES_MAX + 512
"""Bytes of one line of a listing: a record in its longest spelling, a signature, and what stands around them."""

_DETAIL_CHARACTERS_MAX: Final = 200

_T = TypeVar("_T")


class DomainAnswer(msgspec.Struct, frozen=True):
    """What a peer says it holds of a domain."""

    count: Annotated[int, Meta(ge=0)]
    fingerprint: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]


class NodeAnswer(msgspec.Struct, frozen=True):
    """Who a peer says it is, and what it holds: the part of `GET /node` that a sync needs.

    `time` is the peer's clock, in seconds since the Unix epoch. None if another program does not say it. `instance` is
    what the peer drew at its start; empty if it does not say it.
    """

    node: str
    domains: dict[str, DomainAnswer]
    time: Annotated[int, Meta(ge=0, le=SAFE_INTEGER_MAX)] | None = None
    features: tuple[str, ...] = ()
    instance: Annotated[str, Meta(max_length=INSTANCE_CHARACTERS_MAX)] = ""

    @property
    def shared(self) -> dict[str, DomainAnswer]:
        """What the peer holds of the domains that the two nodes can share."""
        return {domain: held for domain, held in self.domains.items() if is_shared(domain, self.features)}


class PutAnswer(msgspec.Struct, frozen=True):
    """A peer's outcome of one record that was sent to it. `code` says why a record was refused."""

    status: Annotated[str, Meta(pattern=r"\A(accepted|known|refused)\Z")]
    code: str | None = None


class ListedLine(msgspec.Struct, frozen=True):
    """One record of a listing."""

    signature: str
    record: msgspec.Raw


class Problem(msgspec.Struct, frozen=True):
    """Why a peer refused a request. Both texts are empty if the answer does not say."""

    code: str = ""
    detail: str = ""


def read_node(data: bytes) -> NodeAnswer:
    """Raises: ProtocolError: `malformed`."""
    answer = read(data, NodeAnswer)
    if not is_key(answer.node) or not all(map(is_domain, answer.domains)):
        raise cut_off("its /node does not say who it is, or names what cannot be a domain")
    return answer


def read(data: bytes, shape: type[_T]) -> _T:
    """The JSON value. Raises: ProtocolError: `malformed` if it has another shape."""
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise cut_off(f"its answer has not the shape that was agreed on ({printable(str(error))})") from error


def split_listing(listing: bytes) -> list[bytes]:
    """The lines of a listing that came as one JSON value, a dict of records or a list of ids.

    Raises:
        ProtocolError: `malformed`.
    """
    if listing.lstrip().startswith(b"["):
        return [bytes(entry) for entry in read(listing, list[msgspec.Raw])]
    records = read(listing, dict[str, msgspec.Raw])
    return [msgspec.json.encode(ListedLine(signature, record)) for signature, record in records.items()]


def read_key(data: bytes) -> bytes:
    """The index key of a line `[timestamp, id]`. Raises: ProtocolError: `malformed`."""
    timestamp, record_id = read(data, tuple[int, str])
    if not 1 <= timestamp <= SAFE_INTEGER_MAX or not is_id(record_id):
        raise cut_off("its list of ids holds what cannot be one")
    return pack_key(timestamp, bytes.fromhex(record_id))


class ListingOrder:
    """Checks that a listing has records of one domain only, in ascending order."""

    def __init__(self, domain: str) -> None:
        self._domain = domain
        self._last: tuple[int, str] = (0, "")

    def check(self, signed: SignedRecord) -> SignedRecord:
        """The record, if it may follow the one before. Raises: ProtocolError: `malformed`."""
        record = signed.record
        if record.domain != self._domain:
            raise cut_off(f"it listed a record of another domain under {self._domain}")
        if record.order_key <= self._last:
            raise cut_off("its listing of records is not in order")
        self._last = record.order_key
        return signed


def printable(text: str) -> str:
    """A peer's words, at most 200 characters of them, for a report and a terminal."""
    return clipped(text, _DETAIL_CHARACTERS_MAX)


def cut_off(reason: str) -> ProtocolError:
    """The error that ends a run with a peer that answers wrongly. `reason` is a clause whose subject is the peer."""
    return ProtocolError(Code.MALFORMED, f"the peer is cut off: {reason}")

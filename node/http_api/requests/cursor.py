"""Cursors: where a page of a listing ended, in a spelling that clients need not understand.

A cursor names the last item of a page, not its number, so records that arrive between two pages shift nothing. A cursor
is no secret: a client that invents one reads only what it may read anyway.
"""

import base64
import binascii

import msgspec

from node.store.contract import LabelKey
from protocol.errors import Code, ProtocolError
from protocol.records.record import is_domain, is_label
from protocol.sets.index import KEY_BYTES

_label_key = msgspec.json.Decoder(tuple[str, str])


def of_label(domain: str, label: str) -> str:
    """The cursor behind the head of this label."""
    return base64.urlsafe_b64encode(msgspec.json.encode((domain, label))).decode().rstrip("=")


def to_label(cursor: str) -> LabelKey:
    """Raises: ProtocolError: `malformed` if `of_label` did not make this cursor."""
    try:
        domain, label = _label_key.decode(_unpad(cursor))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable() from error
    if not is_domain(domain) or not is_label(label):
        raise _unreadable()
    return domain, label


def of_key(key: bytes) -> str:
    """The cursor behind the record of this index key."""
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def to_key(cursor: str) -> bytes:
    """Raises: ProtocolError: `malformed` if `of_key` did not make this cursor."""
    key = _unpad(cursor)
    if len(key) != KEY_BYTES:
        raise _unreadable()
    return key


def _unpad(cursor: str) -> bytes:
    try:
        return base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise _unreadable() from error


def _unreadable() -> ProtocolError:
    return ProtocolError(
        Code.MALFORMED, "`after` comes from the `Link` of the page before, as it is", parameter="after"
    )

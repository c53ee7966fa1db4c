"""A record: one signed JSON object, and the only thing that ever travels between nodes.

The bytes decide everything. A record is valid or not by its canonical bytes and its signature alone, never by a clock,
a setting or what else is stored, so that every node, now or in ten years, says the same. Its name is the SHA-256 of
those bytes, not the signature: a signer can make endless signatures of one body.
"""

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from protocol.errors import Code, ProtocolError
from protocol.limits import (
    DOMAIN_CHARACTERS_MAX,
    DOMAIN_PATTERN,
    LABEL_BYTES_MAX,
    RECORD_BYTES_MAX,
    SAFE_INTEGER_MAX,
    SPELLING_BYTES_MAX,
)
from protocol.records.canonical import canonicalise, encode
from protocol.signing import SigningKey, is_key, is_signature, verify

_DOMAIN = re.compile(DOMAIN_PATTERN)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ID = re.compile(r"[0-9a-f]{64}\Z")


# `gc=False`, here and on the values made of records: what holds only text and numbers, or values of that kind, can be
# part of no circle, so the garbage collector need not go through all that is in flight. A fifth of the loop's time.
class Record(msgspec.Struct, frozen=True, gc=False):
    """A well-formed record. Build it with `decode` or `make` only: both prove what the fields promise.

    `signedby` and `newowner` are public keys, `prev` and `id` record ids: 64 lower-case hex digits each. `timestamp` is
    in seconds since the Unix epoch. `canonical` is exactly what is signed, hashed, stored and sent.
    """

    domain: str
    label: str
    signedby: str
    timestamp: int
    newowner: str | None
    prev: str | None
    id: str
    canonical: bytes

    @property
    def order_key(self) -> tuple[int, str]:
        """Oldest first; the id, which nobody can choose freely, breaks a tie the same way everywhere."""
        return (self.timestamp, self.id)

    @property
    def is_reserved(self) -> bool:
        """Labels that start with `@` are kept for a later version: never stored, and never held against a peer."""
        return self.label.startswith("@")


class SignedRecord(msgspec.Struct, frozen=True, gc=False):
    """A record and the signature that came with it, 128 lower-case hex digits. Not yet verified by being one."""

    signature: str
    record: Record

    def is_genuine(self) -> bool:
        """Whether the key named in `signedby` signed it. About 60 us."""
        return verify(self.record.signedby, self.record.canonical, self.signature)


def decode(data: bytes) -> Record:
    """The record that these bytes spell, in any JSON spelling.

    Raises:
        ProtocolError: `too_large`, or `malformed` with the reason; nothing else, whatever the bytes are.
    """
    if len(data) > SPELLING_BYTES_MAX:
        raise ProtocolError(Code.TOO_LARGE, f"{len(data)} bytes: a record is spelled in at most {SPELLING_BYTES_MAX}")
    value, canonical = canonicalise(data)
    return _checked(value, canonical)


def make(fields: dict[str, Any]) -> Record:
    """The record with these fields, for whoever is about to sign it.

    Raises:
        ProtocolError: as for `decode`.
    """
    return decode(encode(fields))


def sign(record: Record, key: SigningKey) -> SignedRecord:
    """The record with the signature of the key that it names."""
    assert record.signedby == key.public, "a record is signed by the key that it names"
    return SignedRecord(key.sign(record.canonical), record)


def check_signature_spelling(text: str) -> None:
    """Raises: ProtocolError: `malformed` where this cannot be the hex of a signature."""
    if not is_signature(text):
        raise ProtocolError(Code.MALFORMED, "a signature is 128 lower-case hex digits")


def is_id(text: str) -> bool:
    """Whether this is the spelling of a record id: 64 lower-case hex digits."""
    return _ID.match(text) is not None


def is_domain(text: str) -> bool:
    """Whether this can name a sync domain: dot-separated parts of `a-z 0-9 -`, none empty or with `-` at an end."""
    return len(text) <= DOMAIN_CHARACTERS_MAX and _names_domain(text)


@lru_cache(1_024)
def _names_domain(text: str) -> bool:
    """Remembered, as nearly all records are of a domain that was just asked for."""
    return _DOMAIN.match(text) is not None


def is_label(text: str) -> bool:
    """Whether this can name a label: 1 to 255 bytes of UTF-8 without control characters."""
    try:
        length = len(text.encode())
    except UnicodeEncodeError:  # a lone surrogate, which no record holds but a decoded URL may
        return False
    return 0 < length <= LABEL_BYTES_MAX and _CONTROL.search(text) is None


def _checked(value: Any, canonical: bytes) -> Record:
    if type(value) is not dict:
        raise ProtocolError(Code.MALFORMED, "a record is a JSON object")
    record = Record(
        domain=_string(
            value, "domain", is_domain, "1 to 253 characters: dot-separated parts of a-z 0-9 -, no - at an end"
        ),
        label=_string(value, "label", is_label, "1 to 255 bytes of UTF-8 without control characters"),
        signedby=_string(value, "signedby", is_key, "an Ed25519 public key, 64 lower-case hex digits"),
        timestamp=_timestamp(value),
        newowner=_optional(value, "newowner", is_key, "an Ed25519 public key, 64 lower-case hex digits"),
        prev=_optional(value, "prev", is_id, "a record id, 64 lower-case hex digits"),
        id=hashlib.sha256(canonical).hexdigest(),
        canonical=canonical,
    )
    if len(canonical) > RECORD_BYTES_MAX:
        raise ProtocolError(
            Code.TOO_LARGE, f"{len(canonical)} canonical bytes: a record has at most {RECORD_BYTES_MAX}"
        )
    return record


def _string(value: dict[str, Any], key: str, rule: Callable[[str], bool], words: str) -> str:
    text = value.get(key)
    if type(text) is not str or not rule(text):
        raise _broken(value, key, words)
    return text


def _optional(value: dict[str, Any], key: str, rule: Callable[[str], bool], words: str) -> str | None:
    return _string(value, key, rule, words) if key in value else None


def _timestamp(value: dict[str, Any]) -> int:
    timestamp = value.get("timestamp")
    if type(timestamp) is not int or not 1 <= timestamp <= SAFE_INTEGER_MAX:
        raise _broken(value, "timestamp", "seconds since the Unix epoch, an integer from 1 to 2^53-1")
    return timestamp


def _broken(value: dict[str, Any], key: str, words: str) -> ProtocolError:
    """The rule of a key was broken; `words` say the rule."""
    problem = "is not what it should be" if key in value else "is missing"
    return ProtocolError(Code.MALFORMED, f"`{key}` {problem}: {words}", key=key)

"""Leaks: secrets in a record that is about to be signed. Records are public and are never deleted.

A person publishes a secret by naming the wrong file or by pasting the wrong text. So the search knows the spellings in
which programs write keys: hex with or without separators, base64 at every alignment, lists of bytes, key files, PEM and
JWK. It does not find a secret that somebody hides on purpose.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from protocol.signing import SEED_BYTES, SigningKey

_SEPARATORS: Final = re.compile(r"0x|\\[nrt]|[\s:,_-]", re.IGNORECASE)
_LINE_BREAKS: Final = re.compile(r"\\[nrt]|\s")
_HEX_32: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", re.IGNORECASE)
_PEM: Final = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?:\\n|\s)*[A-Za-z0-9+/]{16}")
_SEALED_FILE: Final = re.compile(r'"sealed"\s*:.*"box"\s*:', re.DOTALL)

_NOT_SEEDS: Final = frozenset({"signedby", "prev", "newowner"})
"""Fields of a record that always hold 64 hex digits. The signer's own seed is found there too."""


class Secrets(msgspec.Struct, frozen=True):
    """What must not be published: the signer's seed, other texts, and the seeds of these public keys."""

    seed: bytes
    texts: tuple[str, ...] = ()
    public_keys: frozenset[str] = frozenset()


class Leak(msgspec.Struct, frozen=True):
    """A secret in a record: what it is, and where it stands. Neither repeats the secret."""

    what: str
    where: str


def find_leak(fields: Mapping[str, Any], secrets: Secrets) -> Leak | None:
    """The first secret in the fields of a record."""
    named = secrets.public_keys | {text.lower() for _, value in _walk(fields) for text in _hex_runs(value)}
    for where, value in _walk(fields):
        what = _find_secret(value, secrets) or _find_seed_of(value, named)
        if what is not None:
            return Leak(what, where)
    return None


def has_possible_seed(fields: Mapping[str, Any]) -> bool:
    """Whether a field holds 64 hex digits that could be the seed of some key."""
    content = {name: value for name, value in fields.items() if name not in _NOT_SEEDS}
    return any(_hex_runs(value) for _, value in _walk(content))


def _walk(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every value inside, and the name of every field before its value. `where` is a JSON Pointer (RFC 6901)."""
    yield where or "the record", value
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield f"the name of a field of {where or 'the record'}", name
            yield from _walk(inner, f"{where}/{name.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _walk(inner, f"{where}/{position}")


def _find_secret(value: Any, secrets: Secrets) -> str | None:
    """What kind of secret this value is or holds, without the values inside of it."""
    match value:
        case str():
            return _find_in_text(value, secrets)
        case list():
            return "the secret seed of your key" if secrets.seed in _bytes_of(value) else None
        case {"public": _, "sealed": _} | {"kdf": _, "salt": _, "box": _}:
            return "a sealed key file"
        case {"kty": _, "d": _}:
            return "a private key (JWK)"
        case _:
            return None


def _find_in_text(text: str, secrets: Secrets) -> str | None:
    base64_text = _standard_base64(text)
    if secrets.seed.hex() in _SEPARATORS.sub("", text).lower():
        return "the secret seed of your key"
    if any(spelling in base64_text for spelling in _base64_spellings(secrets.seed)):
        return "the secret seed of your key, in base64"
    if any(hidden in text or _standard_base64(hidden) in base64_text for hidden in secrets.texts):
        return "a secret text: a sealed key or an admin token"
    if _PEM.search(text):
        return "a private key (PEM)"
    return "a sealed key file" if _SEALED_FILE.search(text) else None


def _find_seed_of(value: Any, public_keys: frozenset[str]) -> str | None:
    """Whether 64 hex digits are the seed of one of these keys, for example in a key file that another key signs."""
    for text in _hex_runs(value):
        public = SigningKey(bytes.fromhex(text)).public
        if public in public_keys:
            return f"the secret seed of the key {public}"
    return None


def _hex_runs(value: Any) -> list[str]:
    return _HEX_32.findall(value) if isinstance(value, str) else []


def _bytes_of(values: list[Any]) -> bytes:
    """The list as bytes, as some wallets write keys; empty if it is no list of bytes."""
    is_bytes = len(values) >= SEED_BYTES and all(type(each) is int and 0 <= each < 256 for each in values)
    return bytes(values) if is_bytes else b""


def _standard_base64(text: str) -> str:
    """base64url as base64, without line breaks, so that both can be searched at once."""
    return _LINE_BREAKS.sub("", text).replace("-", "+").replace("_", "/").rstrip("=")


def _base64_spellings(seed: bytes) -> Iterator[str]:
    """The base64 digits that the seed alone decides, for each place where it can begin in a group of three bytes.

    A seed stands alone in some files, and behind 16 bytes of a header in PKCS #8.
    """
    for before in range(3):
        text = base64.b64encode(bytes(before) + seed).decode().rstrip("=")
        first = -(-before * 8 // 6)
        last = (before + len(seed)) * 8 // 6
        yield text[first:last]

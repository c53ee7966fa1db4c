"""Signing: Ed25519 by PyNaCl's libsodium (RFC 8032, with every choice that it leaves open).

One predicate decides for the whole network whether a signature is valid: `S < L`, `A` and `R` are canonical and not of
small order, and the equation holds without the cofactor. Other libraries accept signatures that this predicate refuses,
and a single crafted record could then split the network for ever ("It's 255:19AM", Henry de Valence, 2020, lists where
libraries differ). So only libsodium decides, and a node tests the edge cases before it starts.

A key signs records and a few other statements. Each other statement begins with a namespace, `dnarc:<kind>:v1` and a
line feed, so that no signature can be presented as one of another kind. A record needs no namespace, because it begins
with `{`.
"""

from typing import Final

import nacl.bindings
from nacl.exceptions import BadSignatureError

SEED_BYTES: Final = 32


class SigningKey:
    """A key that signs. `public` is its public half in 64 lower-case hex digits, which names the key everywhere."""

    def __init__(self, seed: bytes) -> None:
        """`seed` is the 32 secret bytes of RFC 8032."""
        assert len(seed) == SEED_BYTES, "an Ed25519 seed has 32 bytes"
        public, self._secret = nacl.bindings.crypto_sign_seed_keypair(seed)
        self.public = public.hex()
        self.seed = seed

    def sign(self, message: bytes) -> str:
        """The detached signature in 128 hex digits. The same message always has the same signature."""
        return nacl.bindings.crypto_sign(message, self._secret)[:64].hex()

    def __repr__(self) -> str:
        return f"SigningKey({self.public})"


def verify(public_key: str, message: bytes, signature: str) -> bool:
    """Whether this key signed this message. This takes about 60 us and releases the interpreter lock."""
    try:
        nacl.bindings.crypto_sign_open(bytes.fromhex(signature) + message, bytes.fromhex(public_key))
    except BadSignatureError:
        return False
    return True


def is_key(text: str) -> bool:
    """Whether this could be a public key: 64 lower-case hex digits. It may still be no point of the curve."""
    return _is_hex(text, 64)


def is_signature(text: str) -> bool:
    """Whether this could be a signature: 128 lower-case hex digits."""
    return _is_hex(text, 128)


def _is_hex(text: str, digits: int) -> bool:
    """Whether the text is this many lower-case hex digits. A third faster than a pattern: every record asks."""
    try:
        return len(text) == digits and bytes.fromhex(text).hex() == text
    except ValueError:
        return False


def statement(kind: str, *lines: str) -> bytes:
    """The bytes to sign for a statement that is no record: the namespace of its kind, then the lines.

    No line may contain a line feed. Otherwise two different lists of lines could be the same statement.
    """
    return (f"dnarc:{kind}:v1\n" + "\n".join(lines)).encode()


_ORDINARY_KEY = "6f0622c6b2f247894574b3da0b9b4f88c5613cd6ade459462792721f65dec2d4"
_MIXED_KEY = "2f5dffcc6ee23584a18bea760bcc54181585a4e379bd626d73b4d7542809a7e7"
_ORDER_8_KEY = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
_IDENTITY_BEYOND_P = "ee" + 30 * "ff" + "7f"

EDGES: Final = (
    (
        "an ordinary signature",
        _ORDINARY_KEY,
        (
            "5ad608b4117fe5d31db9f913e19360a0ef7c8206863772f89fbfaa64e031b398"
            "8fa34eaf7020865a126ae518b78fa551aa057d679e58c0081498d0a869468109"
        ),
        True,
    ),
    (
        "the same with L added to S",
        _ORDINARY_KEY,
        (
            "5ad608b4117fe5d31db9f913e19360a0ef7c8206863772f89fbfaa64e031b398"
            "7c77440c8b8398b2e806ddbb95898466aa057d679e58c0081498d0a869468119"
        ),
        False,
    ),
    (
        "R plus a point of order 8: true only with the cofactor",
        _ORDINARY_KEY,
        (
            "5db5f53b331fd76850f76feeac56091d58566aa02a785f158393627ae8995a50"
            "622f59979ebe347dab62d230d974fbc870c15022a1c46ecfaa282cf8eb2b1201"
        ),
        False,
    ),
    (
        "R the identity",
        _ORDINARY_KEY,
        "01" + 31 * "00" + "9a20c5c78d36944e8d33dc78c85865d1432be930854e7e6f3be8ac619f2ba001",
        False,
    ),
    (
        "R the identity, spelled beyond p",
        _ORDINARY_KEY,
        _IDENTITY_BEYOND_P + "a18a4d6adbf28d215b606862b81d2ded8486a0d7fe99dadc059025113816070f",
        False,
    ),
    (
        "A of order 8, the equation holding",
        _ORDER_8_KEY,
        "d4b4f5784868c3020403246717ec169ff79e26608ea126a1ab69ee77d1b16712" + "03" + 31 * "00",
        False,
    ),
    (
        "A the identity, spelled beyond p",
        _IDENTITY_BEYOND_P,
        "edc876d6831fd2105d0b4389ca2e283166469289146e2ce06faefe98b22548df" + "05" + 31 * "00",
        False,
    ),
    (
        "A plus a point of order 8, the equation holding",
        _MIXED_KEY,
        (
            "c6a33d6a3fab64ee58976e533b176b1d0af0a3e2f1fc22d8ef021a98fe92f62d"
            "f8fd76a477bd2d51f984465a4961f8369d65526d3f894d439d658948f87b1100"
        ),
        True,
    ),
    (
        "A plus a point of order 8: true only with the cofactor",
        _MIXED_KEY,
        (
            "c3f213479a46f122ca93d0b21e2809d2ced35a178403fc6b28d3b2eb6914e7f8"
            "a7de1c1bf62906e30f45e63f9bd09fe626e52d8ae3fb31da2fd32c5f8be2e502"
        ),
        False,
    ),
)
"""Signatures of the five bytes `dnarc` on which libraries differ: a description, key, signature, and whether it is
valid here. They were made by arithmetic on the curve with chosen nonces. A lenient library accepts those that are
invalid here."""


def differing_edges() -> list[str]:
    """Descriptions of the edge cases that the installed libsodium decides differently from the network. If there are
    any, a node must not start.
    """
    return [name for name, key, signature, valid in EDGES if verify(key, b"dnarc", signature) is not valid]

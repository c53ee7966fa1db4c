"""A signing key in a file: small JSON that names the public key, with the secret plain or sealed under a passphrase.

Losing a key loses its labels for ever, and so does overwriting it: a file is made whole under another name and then
linked to its own, which fails where that name is taken, so there is never half a key and never a replaced one. A
passphrase is stretched by Argon2id (RFC 9106), which makes each guess cost memory and time, and seals the seed by
libsodium's secretbox.
"""

import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import nacl.exceptions
import nacl.pwhash
import nacl.secret

from protocol.signing import SEED_BYTES, SigningKey

FILE_BYTES_MAX: Final = 4_096
"""A key file has a few hundred bytes; anything longer is another file."""

_HEX_32 = r"\A[0-9a-f]{64}\Z"


class Cost(msgspec.Struct, frozen=True):
    """What one guess of a passphrase costs: passes over the memory, and its size.

    At most libsodium's `SENSITIVE`, so that a planted file cannot exhaust the machine that opens it.
    """

    operations: Annotated[int, msgspec.Meta(ge=1, le=nacl.pwhash.argon2id.OPSLIMIT_SENSITIVE)]
    memory_bytes: Annotated[int, msgspec.Meta(ge=8_192, le=nacl.pwhash.argon2id.MEMLIMIT_SENSITIVE)]


MODERATE: Final = Cost(nacl.pwhash.argon2id.OPSLIMIT_MODERATE, nacl.pwhash.argon2id.MEMLIMIT_MODERATE)
"""256 MiB and somewhat under a second: libsodium's advice for keys that open once a command."""


class KeyfileError(Exception):
    """A key file that cannot be made or opened; the text says why and what to do."""


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A seed under a passphrase. `salt` and `box` (nonce and ciphertext) are base64."""

    kdf: Literal["argon2id"]
    cost: Cost
    salt: str
    box: str


class _Keyfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    version: Literal[1]
    public: Annotated[str, msgspec.Meta(pattern=_HEX_32)]
    seed: Annotated[str, msgspec.Meta(pattern=_HEX_32)] | None = None
    sealed: _Sealed | None = None


def create(path: Path, passphrase: str | None = None, cost: Cost = MODERATE) -> SigningKey:
    """Make a key and its file, mode 0600, durable when this returns.

    Raises:
        KeyfileError: there is something of that name already, or no such folder.
    """
    seed = secrets.token_bytes(SEED_BYTES)
    key = SigningKey(seed)
    sealed = None if passphrase is None else _seal(seed, passphrase, cost)
    content = _Keyfile(1, key.public, seed.hex() if sealed is None else None, sealed)
    _write_new(path, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    return key


def load(path: Path, ask_passphrase: Callable[[], str] | None = None) -> SigningKey:
    """The key in a file; `ask_passphrase` is called where it is sealed.

    Raises:
        KeyfileError: it cannot be read or is no key file; it is sealed, and the passphrase is absent or wrong.
    """
    content = _read(path)
    key = SigningKey(_seed(path, content, ask_passphrase))
    if key.public != content.public:
        raise KeyfileError(f"{path} is damaged: its secret belongs to another public key")
    return key


def public_key(path: Path) -> str:
    """The public key that a file names, 64 hex digits; no passphrase is needed. Raises: KeyfileError: as for `load`."""
    return _read(path).public


def is_exposed(path: Path) -> bool:
    """Whether anybody but its owner may read or write the file."""
    return bool(path.stat().st_mode & 0o077)


def _read(path: Path) -> _Keyfile:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise KeyfileError(f"{path} cannot be read: {error.strerror}; `dnarc keygen {path}` makes a key") from error
    if len(data) > FILE_BYTES_MAX:
        raise KeyfileError(f"{path} is no key file: it has more than {FILE_BYTES_MAX} bytes")
    try:
        content = msgspec.json.decode(data, type=_Keyfile)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise KeyfileError(f"{path} is no key file of dnarc: {error}") from error
    if (content.seed is None) == (content.sealed is None):
        raise KeyfileError(f"{path} is no key file of dnarc: it should hold `seed` or `sealed`, one of them")
    return content


def _seed(path: Path, content: _Keyfile, ask_passphrase: Callable[[], str] | None) -> bytes:
    if content.sealed is None:
        assert content.seed is not None, "a key file that was read holds one of the two"
        return bytes.fromhex(content.seed)
    if ask_passphrase is None:
        raise KeyfileError(f"{path} is sealed, and there is no passphrase: set DNARC_PASSPHRASE, or use a terminal")
    return _unseal(path, content.sealed, ask_passphrase())


def _seal(seed: bytes, passphrase: str, cost: Cost) -> _Sealed:
    salt = secrets.token_bytes(nacl.pwhash.argon2id.SALTBYTES)
    box = nacl.secret.SecretBox(_stretched(passphrase, salt, cost)).encrypt(seed)
    return _Sealed("argon2id", cost, base64.b64encode(salt).decode(), base64.b64encode(box).decode())


def _unseal(path: Path, sealed: _Sealed, passphrase: str) -> bytes:
    try:
        salt = base64.b64decode(sealed.salt, validate=True)
        box = base64.b64decode(sealed.box, validate=True)
        seed = nacl.secret.SecretBox(_stretched(passphrase, salt, sealed.cost)).decrypt(box)
    except nacl.exceptions.CryptoError as error:
        raise KeyfileError(f"the passphrase does not open {path}") from error
    except ValueError as error:
        raise KeyfileError(f"{path} is damaged: {error}") from error
    if len(seed) != SEED_BYTES:
        raise KeyfileError(f"{path} is damaged: it seals {len(seed)} bytes, and a key has {SEED_BYTES}")
    return seed


def _stretched(passphrase: str, salt: bytes, cost: Cost) -> bytes:
    return nacl.pwhash.argon2id.kdf(
        nacl.secret.SecretBox.KEY_SIZE,
        passphrase.encode(),
        salt,
        opslimit=cost.operations,
        memlimit=cost.memory_bytes,
    )


def _write_new(path: Path, data: bytes) -> None:
    """Let the file appear whole or not at all, and never in the place of another."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write_durably(draft, data)
        try:
            os.link(draft, path)
        finally:
            draft.unlink()
        _sync_folder(path.parent)
    except FileExistsError as error:
        raise KeyfileError(f"{path} is there already, and a key is never overwritten: choose another name") from error
    except OSError as error:
        raise KeyfileError(f"{path} cannot be written: {error.strerror}") from error


def _write_durably(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)  # the umask may have taken more away
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """A new name is durable only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

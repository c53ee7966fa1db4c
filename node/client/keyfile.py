"""A signing key in a file: a small JSON object with the public key and the seed, plain or sealed under a passphrase.

Whoever loses a key loses its labels for ever, and overwriting the file loses the key too. So the file is written whole
under another name and then linked to its own name. The link fails if the name is taken, so a key file is never half
written and never replaces another. A passphrase is stretched by Argon2id (RFC 9106), so that each guess costs memory
and time. The stretched passphrase seals the seed by libsodium's secretbox.
"""

import base64
import os
import secrets
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import nacl.exceptions
import nacl.pwhash
import nacl.secret

from node.durable_files import sync, write_secret
from node.faults import of_file
from protocol.signing import SEED_BYTES, SigningKey

FILE_BYTES_MAX: Final = 4_096
"""A key file has a few hundred bytes. A longer file is something else."""

_HEX_32 = r"\A[0-9a-f]{64}\Z"


class Cost(msgspec.Struct, frozen=True):
    """What one guess of a passphrase costs: passes over the memory, and the size of the memory in bytes.

    The maximum is libsodium's `SENSITIVE`, so that a planted file cannot exhaust the machine that opens it.
    """

    operations: Annotated[int, msgspec.Meta(ge=1, le=nacl.pwhash.argon2id.OPSLIMIT_SENSITIVE)]
    memory_bytes: Annotated[int, msgspec.Meta(ge=8_192, le=nacl.pwhash.argon2id.MEMLIMIT_SENSITIVE)]


MODERATE: Final = Cost(nacl.pwhash.argon2id.OPSLIMIT_MODERATE, nacl.pwhash.argon2id.MEMLIMIT_MODERATE)
"""256 MiB and a little under a second: libsodium's advice for a key that is opened once per command."""


class KeyfileError(Exception):
    """A key file cannot be made or opened. The text says why and what to do."""


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A seed under a passphrase. `salt` and `box` (nonce and ciphertext) are base64."""

    kdf: Literal["argon2id"]
    cost: Cost
    salt: str
    box: str


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a key file holds: `public`, and either `seed` or `sealed`."""

    version: Literal[1]
    public: Annotated[str, msgspec.Meta(pattern=_HEX_32)]
    seed: Annotated[str, msgspec.Meta(pattern=_HEX_32)] | None = None
    sealed: _Sealed | None = None


class OpenedKey(msgspec.Struct, frozen=True):
    """The key in a file. `box` is the text that seals its seed in the file, None if the seed is plain."""

    key: SigningKey
    box: str | None


def create(path: Path, passphrase: str | None = None, cost: Cost = MODERATE) -> SigningKey:
    """Make a key and its file with mode 0600. The file is durable when this returns.

    Raises:
        KeyfileError: the name is taken, the folder is absent, or the passphrase is empty.
    """
    if passphrase is not None:
        check_passphrase(passphrase)
    seed = secrets.token_bytes(SEED_BYTES)
    key = SigningKey(seed)
    sealed = None if passphrase is None else _seal(seed, passphrase, cost)
    content = _Content(1, key.public, seed.hex() if sealed is None else None, sealed)
    _write_new(path, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    return key


def check_passphrase(passphrase: str) -> None:
    """Check that a passphrase can protect a key. White space alone cannot. Raises: KeyfileError."""
    if not passphrase.strip():
        raise KeyfileError(
            "an empty passphrase protects nothing: choose a few random words, or make a plain key file without"
            " --passphrase"
        )


def load(path: Path, ask_passphrase: Callable[[], str] | None = None) -> SigningKey:
    """The key in a file. Raises: KeyfileError: as for `open_file`."""
    return open_file(path, ask_passphrase).key


def open_file(path: Path, ask_passphrase: Callable[[], str] | None = None) -> OpenedKey:
    """Read the file once, because it may be a pipe. `ask_passphrase` is called if the key is sealed.

    Raises:
        KeyfileError: the file cannot be read or is no key file; or the key is sealed, and the passphrase is absent or
            wrong.
    """
    content = _read(path)
    key = SigningKey(_open_seed(path, content, ask_passphrase))
    if key.public != content.public:
        raise KeyfileError(f"{path} is damaged: its secret belongs to another public key")
    return OpenedKey(key, None if content.sealed is None else content.sealed.box)


def public_key(path: Path) -> str:
    """The public key that a file names, 64 hex digits. It needs no passphrase. Raises: KeyfileError."""
    return _read(path).public


def is_exposed(path: Path) -> bool:
    """Whether anybody but the file's owner may read or write it."""
    return bool(path.stat().st_mode & 0o077)


def _read(path: Path) -> _Content:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError as error:
        remedy = f"name your key by --key or DNARC_KEY; `dnarc keygen {path}` makes a new key"
        raise KeyfileError(f"there is no file {path} ({remedy})") from error
    except OSError as error:
        raise KeyfileError(f"{path} cannot be read: {of_file(error, path)}") from error
    if len(data) > FILE_BYTES_MAX:
        raise KeyfileError(f"{path} is no key file: it has more than {FILE_BYTES_MAX} bytes")
    try:
        content = msgspec.json.decode(data, type=_Content)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise KeyfileError(f"{path} is no key file of dnarc: {error}") from error
    if (content.seed is None) == (content.sealed is None):
        raise KeyfileError(f"{path} is no key file of dnarc: it should hold either `seed` or `sealed`")
    return content


def _open_seed(path: Path, content: _Content, ask_passphrase: Callable[[], str] | None) -> bytes:
    if content.sealed is None:
        assert content.seed is not None, "`_read` lets through only files that hold one of the two"
        return bytes.fromhex(content.seed)
    if ask_passphrase is None:
        raise KeyfileError(f"{path} is sealed, and there is no passphrase: set DNARC_PASSPHRASE, or use a terminal")
    return _unseal(path, content.sealed, ask_passphrase())


def _seal(seed: bytes, passphrase: str, cost: Cost) -> _Sealed:
    salt = secrets.token_bytes(nacl.pwhash.argon2id.SALTBYTES)
    box = nacl.secret.SecretBox(_stretch(_composed(passphrase), salt, cost)).encrypt(seed)
    return _Sealed("argon2id", cost, base64.b64encode(salt).decode(), base64.b64encode(box).decode())


def _unseal(path: Path, sealed: _Sealed, passphrase: str) -> bytes:
    try:
        salt = base64.b64decode(sealed.salt, validate=True)
        box = base64.b64decode(sealed.box, validate=True)
        seed = _open_box(box, salt, sealed.cost, passphrase)
    except ValueError as error:
        raise KeyfileError(f"{path} is damaged: {error}") from error
    if seed is None:
        hint = "" if passphrase else ", which is empty: is DNARC_PASSPHRASE set to nothing?"
        raise KeyfileError(f"the passphrase does not open {path}{hint}")
    if len(seed) != SEED_BYTES:
        raise KeyfileError(f"{path} is damaged: it seals {len(seed)} bytes, and a key has {SEED_BYTES}")
    return seed


def _open_box(box: bytes, salt: bytes, cost: Cost, passphrase: str) -> bytes | None:
    """The bytes in the box; None if the passphrase opens it in neither spelling."""
    for spelling in dict.fromkeys((_composed(passphrase), passphrase)):
        try:
            return nacl.secret.SecretBox(_stretch(spelling, salt, cost)).decrypt(box)
        except nacl.exceptions.CryptoError:
            continue
    return None


def _composed(passphrase: str) -> str:
    """The passphrase in NFC (as RFC 8265 says), because one keyboard sends `ö` as one character, another as two."""
    return unicodedata.normalize("NFC", passphrase)


def _stretch(passphrase: str, salt: bytes, cost: Cost) -> bytes:
    return nacl.pwhash.argon2id.kdf(
        nacl.secret.SecretBox.KEY_SIZE,
        passphrase.encode(errors="surrogateescape"),  # a variable may hold any bytes
        salt,
        opslimit=cost.operations,
        memlimit=cost.memory_bytes,
    )


def _write_new(path: Path, data: bytes) -> None:
    """Let the file appear whole or not at all, and never in the place of another file."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        try:
            write_secret(draft, data)
            os.link(draft, path)
        finally:
            draft.unlink(missing_ok=True)  # after Ctrl-C too, so that no copy of the secret stays behind
        sync(path.parent)
    except FileExistsError as error:
        raise KeyfileError(f"{path} is there already, and a key is never overwritten: choose another name") from error
    except OSError as error:
        raise KeyfileError(f"{path} cannot be written: {of_file(error, path)}") from error

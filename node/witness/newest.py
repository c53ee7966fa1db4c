"""The newest receipt of this node as a witness, in a file of its own: the memory that a witness must never lose.

A witness that forgets what it said may say something else, and that is a lie. So the whole newest receipt is on disk
before it leaves, in `witness/DOMAIN.json` beside the database and not in it: a database that is restored from a backup
forgets, and this file does not. It names the receipt before it, and so the whole chain.

Without the file a witness is silent until the operator says how it goes on (`dnarc witness begin`): this key never
witnessed this domain, or this was its last receipt.
"""

from pathlib import Path

import msgspec

from node.disk import Disk
from protocol.errors import ProtocolError
from protocol.records.record import SignedRecord, decode_signed

FOLDER = "witness"


class UnreadableError(Exception):
    """The file does not hold the newest receipt, so nobody knows what this witness said."""


class _Line(msgspec.Struct, omit_defaults=True):
    """The content of the file. With neither a receipt nor `last`, the key has never witnessed this domain."""

    signature: str | None = None
    record: msgspec.Raw = msgspec.Raw()
    last: str | None = None


class Begun(msgspec.Struct, frozen=True):
    """Where a witness goes on: after `receipt`; after the receipt of id `last`, which others hold; or at the start."""

    receipt: SignedRecord | None = None
    last: str | None = None

    @property
    def newest(self) -> str | None:
        """The id of the newest receipt, None at the start."""
        return self.last if self.receipt is None else self.receipt.record.id


def path_of(data: Path, domain: str) -> Path:
    """The file of this domain in a data folder. The name of a domain is a safe name of a file."""
    return data / FOLDER / f"{domain}.json"


async def read_begun(disk: Disk, path: Path) -> Begun | None:
    """Where the witness goes on; None if nobody has said so.

    Raises:
        UnreadableError: the file holds something else.
    """
    content = await disk.read(path)
    return None if content is None else parse_begun(content)


def parse_begun(content: bytes) -> Begun:
    """Where the witness goes on, from the content of the file.

    Raises:
        UnreadableError: it is something else.
    """
    try:
        line = msgspec.json.decode(content, type=_Line)
        if line.signature is None or not bytes(line.record):
            return Begun(last=line.last)
        return Begun(decode_signed(line.signature, bytes(line.record)))
    except (msgspec.MsgspecError, UnicodeDecodeError, ProtocolError) as error:
        raise UnreadableError(str(error)) from error


def spell_receipt(receipt: SignedRecord) -> bytes:
    """The content of the file after this receipt."""
    return msgspec.json.encode(_Line(receipt.signature, msgspec.Raw(receipt.record.canonical))) + b"\n"


def spell_begin(last: str | None) -> bytes:
    """The content of the file for a witness that begins: at the start, or after the receipt of this id."""
    return msgspec.json.encode(_Line(last=last)) + b"\n"

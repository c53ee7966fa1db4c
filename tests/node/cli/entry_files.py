"""Files of entries, as `dnarc export` writes them."""

from pathlib import Path

from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey

ALICE = SigningKey(bytes(32))


def signed(label: str, at: int = 1_000, domain: str = "example.org") -> SignedRecord:
    return sign(make({"domain": domain, "label": label, "signedby": ALICE.public, "timestamp": at}), ALICE)


def line(record: SignedRecord) -> bytes:
    names = (record.record.id.encode(), record.signature.encode())
    return b'{"id":"%s","signature":"%s","record":%s}\n' % (*names, record.record.canonical)


def written(folder: Path, *records: SignedRecord) -> Path:
    file = folder / "claims.ndjson"
    file.write_bytes(b"".join(map(line, records)))
    return file

"""Key files: whole or absent, never replaced, opened by the right passphrase only."""

import json
from pathlib import Path

import pytest

from node.client.keyfile import FILE_BYTES_MAX, Cost, KeyfileError, create, is_exposed, load, public_key
from protocol.signing import verify

CHEAP = Cost(operations=1, memory_bytes=8_192)


def test_a_key_comes_back_as_it_was_made(tmp_path: Path) -> None:
    made = create(tmp_path / "a.key")

    loaded = load(tmp_path / "a.key")

    assert (loaded.public, loaded.seed) == (made.public, made.seed)
    assert verify(public_key(tmp_path / "a.key"), b"words", loaded.sign(b"words"))


def test_nobody_else_may_read_the_file_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    create(tmp_path / "a.key")

    assert (tmp_path / "a.key").stat().st_mode & 0o777 == 0o600
    assert not is_exposed(tmp_path / "a.key")
    assert [path.name for path in tmp_path.iterdir()] == ["a.key"]


def test_a_file_that_others_may_read_is_noticed(tmp_path: Path) -> None:
    create(tmp_path / "a.key")

    (tmp_path / "a.key").chmod(0o640)

    assert is_exposed(tmp_path / "a.key")


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    made = create(tmp_path / "a.key")

    with pytest.raises(KeyfileError, match=r"a\.key is there already, and a key is never overwritten"):
        create(tmp_path / "a.key")

    assert load(tmp_path / "a.key").seed == made.seed
    assert [path.name for path in tmp_path.iterdir()] == ["a.key"]


def test_a_link_that_leads_nowhere_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.key").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(KeyfileError, match="is there already"):
        create(tmp_path / "a.key")


def test_a_folder_that_is_absent_is_said(tmp_path: Path) -> None:
    with pytest.raises(KeyfileError, match=r"a\.key cannot be written: No such file or directory"):
        create(tmp_path / "absent" / "a.key")


def test_a_sealed_key_opens_with_its_passphrase(tmp_path: Path) -> None:
    made = create(tmp_path / "a.key", "wörter", CHEAP)

    loaded = load(tmp_path / "a.key", lambda: "wörter")

    assert loaded.seed == made.seed
    assert public_key(tmp_path / "a.key") == made.public
    assert made.seed.hex() not in (tmp_path / "a.key").read_text()


def test_a_sealed_key_does_not_open_otherwise(tmp_path: Path) -> None:
    create(tmp_path / "a.key", "words", CHEAP)

    with pytest.raises(KeyfileError, match=r"the passphrase does not open .*a\.key"):
        load(tmp_path / "a.key", lambda: "other words")
    with pytest.raises(KeyfileError, match="is sealed, and there is no passphrase: set DNARC_PASSPHRASE"):
        load(tmp_path / "a.key")


def test_two_keys_under_one_passphrase_share_no_salt(tmp_path: Path) -> None:
    create(tmp_path / "a.key", "words", CHEAP)
    create(tmp_path / "b.key", "words", CHEAP)

    salts = {json.loads((tmp_path / name).read_text())["sealed"]["salt"] for name in ("a.key", "b.key")}

    assert len(salts) == 2


SEALED = {"kdf": "argon2id", "cost": {"operations": 1, "memory_bytes": 8_192}, "salt": "AA==", "box": "AA=="}
DAMAGED = [
    (b"", "is no key file of dnarc"),
    (b"\xff", "is no key file of dnarc"),
    (b"[" * 4_000, "is no key file of dnarc"),
    (b" " * (FILE_BYTES_MAX + 1), "is no key file: it has more than 4096 bytes"),
    (b'{"version": 2, "public": "%s", "seed": "%s"}' % (b"0" * 64, b"0" * 64), "is no key file of dnarc"),
    (b'{"version": 1, "public": "%s"}' % (b"0" * 64), "should hold `seed` or `sealed`, one of them"),
    (b'{"version": 1, "public": "%s", "seed": "%s"}' % (b"0" * 64, b"0" * 64), "belongs to another public key"),
    (b'{"version": 1, "public": "%s", "seed": "%s"}' % (b"0" * 64, b"0" * 63), "is no key file of dnarc"),
    (
        json.dumps({"version": 1, "public": "0" * 64, "sealed": SEALED}).encode(),
        "the passphrase does not open|is damaged",
    ),
    (
        json.dumps({"version": 1, "public": "0" * 64, "sealed": SEALED | {"salt": "no base64"}}).encode(),
        "is damaged",
    ),
    (
        json.dumps(
            {"version": 1, "public": "0" * 64, "sealed": SEALED | {"cost": {"operations": 1, "memory_bytes": 2**40}}}
        ).encode(),
        "is no key file of dnarc",
    ),
]


@pytest.mark.parametrize(("data", "words"), DAMAGED)
def test_another_file_is_said_to_be_one(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "a.key").write_bytes(data)

    with pytest.raises(KeyfileError, match=words):
        load(tmp_path / "a.key", lambda: "words")


def test_an_absent_file_is_said_with_the_way_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(KeyfileError, match=r"cannot be read: No such file or directory; `dnarc keygen .*a\.key`"):
        load(tmp_path / "a.key")

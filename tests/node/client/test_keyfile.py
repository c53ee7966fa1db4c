"""Key files: whole or absent, never replaced, and opened only by the right passphrase."""

import base64
import json
import os
from pathlib import Path

import nacl.pwhash
import nacl.secret
import pytest

from node.client.keyfile import FILE_BYTES_MAX, Cost, KeyfileError, create, is_exposed, load, open_file, public_key
from protocol.signing import SigningKey, verify

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


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.key").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(KeyfileError, match="is there already"):
        create(tmp_path / "a.key")


def test_an_absent_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyfileError, match=r"a\.key cannot be written: no such file or directory"):
        create(tmp_path / "absent" / "a.key")


def test_a_sealed_key_opens_with_its_passphrase(tmp_path: Path) -> None:
    made = create(tmp_path / "a.key", "wörter", CHEAP)

    loaded = load(tmp_path / "a.key", lambda: "wörter")

    assert loaded.seed == made.seed
    assert public_key(tmp_path / "a.key") == made.public
    assert made.seed.hex() not in (tmp_path / "a.key").read_text()


def test_a_sealed_key_does_not_open_by_another_passphrase(tmp_path: Path) -> None:
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
    (b'{"version": 1, "public": "%s"}' % (b"0" * 64), "should hold either `seed` or `sealed`"),
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
def test_a_file_that_is_no_key_file_is_an_error(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "a.key").write_bytes(data)

    with pytest.raises(KeyfileError, match=words):
        load(tmp_path / "a.key", lambda: "words")


def test_an_absent_file_is_an_error_with_both_remedies(tmp_path: Path) -> None:
    words = r"there is no file .*a\.key \(name your key by --key .*; `dnarc keygen .*a\.key` makes a new key\)"

    with pytest.raises(KeyfileError, match=words):
        load(tmp_path / "a.key")


def test_an_error_of_a_file_that_exists_does_not_advise_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(KeyfileError, match=r"cannot be read: is a directory "):
        load(tmp_path)


@pytest.mark.parametrize("passphrase", ["", " ", "\n\t", "\u3000"])
def test_an_empty_passphrase_seals_no_key(tmp_path: Path, passphrase: str) -> None:
    with pytest.raises(KeyfileError, match="an empty passphrase protects nothing"):
        create(tmp_path / "a.key", passphrase, CHEAP)

    assert list(tmp_path.iterdir()) == []


def test_a_passphrase_opens_in_both_spellings_of_unicode(tmp_path: Path) -> None:
    """One keyboard sends `ö` as one character, another as two."""
    made = [create(tmp_path / name, words, CHEAP).seed for name, words in (("a", "w\u00f6rter"), ("b", "wo\u0308rter"))]

    opened = [load(tmp_path / "a", lambda: "wo\u0308rter").seed, load(tmp_path / "b", lambda: "w\u00f6rter").seed]

    assert opened == made


def test_a_key_that_was_sealed_in_another_spelling_still_opens(tmp_path: Path) -> None:
    seed, salt, words = bytes(range(32)), bytes(16), "wo\u0308rter"
    stretched = nacl.pwhash.argon2id.kdf(32, words.encode(), salt, CHEAP.operations, CHEAP.memory_bytes)
    box = base64.b64encode(nacl.secret.SecretBox(stretched).encrypt(seed)).decode()
    cost = {"operations": CHEAP.operations, "memory_bytes": CHEAP.memory_bytes}
    sealed = {"kdf": "argon2id", "cost": cost, "salt": base64.b64encode(salt).decode(), "box": box}
    content = {"version": 1, "public": SigningKey(seed).public, "sealed": sealed}
    (tmp_path / "a.key").write_text(json.dumps(content))

    assert load(tmp_path / "a.key", lambda: words).seed == seed


def test_a_passphrase_may_hold_bytes_that_are_no_text(tmp_path: Path) -> None:
    """A variable can bring them."""
    words = b"w\xf6rter".decode(errors="surrogateescape")

    made = create(tmp_path / "a.key", words, CHEAP)

    assert load(tmp_path / "a.key", lambda: words).seed == made.seed


def test_an_empty_passphrase_that_opens_nothing_is_explained(tmp_path: Path) -> None:
    create(tmp_path / "a.key", "words", CHEAP)

    with pytest.raises(KeyfileError, match="which is empty: is DNARC_PASSPHRASE set to nothing"):
        load(tmp_path / "a.key", lambda: "")


def test_an_interrupt_leaves_no_copy_of_the_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)

    with pytest.raises(KeyboardInterrupt):
        create(tmp_path / "a.key")

    assert list(tmp_path.iterdir()) == []


def test_a_key_may_come_through_a_pipe(tmp_path: Path) -> None:
    """As the shell gives it for `--key <(pass show dnarc)`: it can be read once."""
    made = create(tmp_path / "a.key")
    reading, writing = os.pipe()
    os.write(writing, (tmp_path / "a.key").read_bytes())
    os.close(writing)

    opened = open_file(Path(f"/dev/fd/{reading}"))

    os.close(reading)
    assert (opened.key.seed, opened.box) == (made.seed, None)


def test_an_opened_key_comes_with_the_text_that_seals_it(tmp_path: Path) -> None:
    create(tmp_path / "a.key", "words", CHEAP)

    opened = open_file(tmp_path / "a.key", lambda: "words")

    assert opened.box == json.loads((tmp_path / "a.key").read_text())["sealed"]["box"]

"""Export, import and verify: what leaves a node comes back, however often it was interrupted."""

import json
from pathlib import Path

import pytest

from node.cli.commands.export import Place, backwards, resume
from node.cli.commands.import_records import BATCH_RECORDS_MAX, TRIES_MAX, batches
from node.cli.commands.verify import BAD_SHOWN_MAX, Bad, check
from node.cli.output.failures import CommandError
from node.client.http import NodeClient
from protocol.errors import Code
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey
from tests.node.cli.conftest import Served, run, run_apart
from tests.node.client.test_http import Reply, Script, serving

NODE: Reply = (200, {}, b'{"version": "1", "node": "key", "started": 0, "time": 0, "domains": {}}')
BUSY = (503, {"Retry-After": "0"}, b'{"code": "overloaded", "detail": "full"}')
ALICE = SigningKey(bytes(32))


def signed(label: str, at: int = 1_000) -> SignedRecord:
    return sign(make({"domain": "example.org", "label": label, "signedby": ALICE.public, "timestamp": at}), ALICE)


def line(record: SignedRecord) -> bytes:
    names = (record.record.id.encode(), record.signature.encode())
    return b'{"id":"%s","signature":"%s","record":%s}\n' % (*names, record.record.canonical)


def written(folder: Path, *records: SignedRecord) -> Path:
    file = folder / "claims.ndjson"
    file.write_bytes(b"".join(map(line, records)))
    return file


def test_what_is_exported_comes_into_another_node(tmp_path: Path) -> None:
    records = [signed(f"label-{number}", at=1_000 + number // 3) for number in range(2_500)]
    file = written(tmp_path, *records)
    node = Served(tmp_path)
    data = ("--data", str(node.data))

    first = node.run("import", str(file), "--json", *data).json
    second = node.run("import", str(file), "--json", *data).json
    exported = node.run("export", str(tmp_path / "out.ndjson"), "--json").json
    node.stop()

    assert first == {"accepted": 2_500, "known": 0, "refused": 0, "reasons": []}
    assert second == {"accepted": 0, "known": 2_500, "refused": 0, "reasons": []}
    assert exported["records"] == 2_500
    assert sorted((tmp_path / "out.ndjson").read_bytes().splitlines()) == sorted(file.read_bytes().splitlines())
    assert not (tmp_path / "claims.ndjson.import").exists()


def test_an_export_goes_on_where_its_file_ends(served: Served, tmp_path: Path) -> None:
    file = written(tmp_path, *(signed(f"a{number}", at=1_000 + number // 5) for number in range(50)))
    served.run("import", str(file), "--data", str(served.data))
    whole, torn = tmp_path / "whole.ndjson", tmp_path / "torn.ndjson"
    served.run("export", str(whole), "--domain", "example.org")
    torn.write_bytes(whole.read_bytes()[:7_001])

    resumed = served.run("export", str(torn), "--domain", "example.org", "--json").json
    again = served.run("export", str(torn), "--domain", "example.org", "--json").json

    assert torn.read_bytes() == whole.read_bytes()
    assert 0 < resumed["records"] < 50
    assert again["records"] == 0


def test_an_export_may_go_to_stdout(served: Served, tmp_path: Path) -> None:
    served.run("import", str(written(tmp_path, signed("out"))), "--data", str(served.data))

    exported = run_apart("export", "-", "--node", served.url)

    assert line(signed("out")).decode() in exported.out


@pytest.mark.parametrize("content", [b"notes\n", b"notes", b"{}\n", line(signed("a")) + b"notes\n"])
def test_another_file_is_left_as_it_is(served: Served, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(content)

    refused = served.run("export", str(file))

    assert (refused.code, file.read_bytes()) == (2, content)
    assert "holds something other than an export" in refused.err


def test_the_place_is_the_last_second_with_all_its_ids(tmp_path: Path) -> None:
    records = [signed("a", 1), signed("b", 2), signed("c", 2)]
    file = written(tmp_path, *records)

    with file.open("a+b") as out:
        out.write(b'{"signature":"torn')
        place = resume(out, file)

    assert place == Place(2, {records[1].record.id, records[2].record.id})
    assert file.read_bytes() == b"".join(map(line, records))


@pytest.mark.parametrize("size", [1, 5, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20])
def test_lines_are_read_from_the_end(tmp_path: Path, size: int) -> None:
    lines = [b"a" * 10, b"b" * size, b"", b"c"]
    file = tmp_path / "lines"
    file.write_bytes(b"\n".join(lines))

    with file.open("rb") as source:
        assert list(backwards(source, file.stat().st_size)) == lines[::-1]


def test_an_import_waits_for_a_node_that_has_no_room(tmp_path: Path) -> None:
    record = signed("busy")
    accepted = json.dumps({record.signature: {"status": "accepted"}}).encode()
    script: Script = [NODE, *[BUSY] * (TRIES_MAX - 1), (200, {}, accepted)]

    with serving(script) as url:
        done = run("import", str(written(tmp_path, record)), "--json", "--token", "secret", "--node", url)

    assert done.json["accepted"] == 1


def test_an_import_that_is_never_taken_ends_and_keeps_its_file(tmp_path: Path) -> None:
    with serving([NODE, *[BUSY] * TRIES_MAX]) as url:
        done = run("import", str(written(tmp_path, signed("busy"))), "--json", "--token", "secret", "--node", url)

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("dnarc: overloaded: full")


def test_without_the_token_old_records_are_refused_and_that_is_said(served: Served, tmp_path: Path) -> None:
    done = served.run("import", str(written(tmp_path, signed("old"))), "--json")

    assert done.code == 1
    assert json.loads(done.out)["reasons"][0]["code"] == "too_old"
    assert done.err.splitlines()[0].startswith("dnarc: warning: without the admin token")
    assert done.err.splitlines()[1].startswith("dnarc: refused: 1 of 1 records were refused")


def test_an_import_goes_on_at_the_mark_of_this_node(served: Served, tmp_path: Path) -> None:
    records = [signed("m1"), signed("m2")]
    file = written(tmp_path, *records)
    mark = tmp_path / "claims.ndjson.import"
    with NodeClient(served.url) as client:
        node_key = client.get("/node")["node"]

    mark.write_text(json.dumps({"node": node_key, "bytes": len(line(records[0]))}))
    rest = served.run("import", str(file), "--data", str(served.data), "--json").json
    mark.write_text(json.dumps({"node": "0" * 64, "bytes": len(line(records[0]))}))
    whole = served.run("import", str(file), "--data", str(served.data), "--json").json

    assert (rest["accepted"], whole["accepted"], whole["known"]) == (1, 1, 1)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"notes\n", "at byte 0"), (line(signed("a")) + b"{}\n", f"at byte {len(line(signed('a')))}")],
)
def test_a_file_that_is_no_export_is_refused_with_the_place(
    served: Served, tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "notes").write_bytes(content)

    refused = served.run("import", str(tmp_path / "notes"), "--data", str(served.data))

    assert refused.code == 2
    assert words in refused.err


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (1_000, [1_000]), (1_001, [1_000, 1])])
def test_a_batch_holds_no_more_records_than_a_request_may(tmp_path: Path, count: int, sizes: list[int]) -> None:
    file = written(tmp_path, *(signed(f"b{number}") for number in range(count)))

    with file.open("rb") as source:
        found = list(batches(source, 0, file))

    assert BATCH_RECORDS_MAX == 1_000
    assert [len(batch.entries) for batch in found] == sizes
    assert [batch.end for batch in found][-1:] == ([file.stat().st_size] if count else [])


def test_a_line_that_is_there_twice_is_counted_twice(tmp_path: Path) -> None:
    file = written(tmp_path, signed("twice"), signed("twice"))

    with file.open("rb") as source:
        assert [len(batch.entries) for batch in batches(source, 0, file)] == [1, 1]


def test_good_claims_are_counted_from_lines_and_from_a_dict(tmp_path: Path) -> None:
    records = [signed(f"v{number}") for number in range(200)]
    claims = tmp_path / "claims.json"
    claims.write_text(json.dumps({each.signature: json.loads(each.record.canonical) for each in records}, indent=1))

    from_lines = run("verify", str(written(tmp_path, *records)), "--json").json
    from_dict = run("verify", str(claims), "--json").json

    assert from_lines == from_dict == {"good": 200, "bad": 0, "reasons": []}


def test_stdin_is_read_too() -> None:
    done = run_apart("verify", "--json", given=line(signed("a")).decode())

    assert done.json == {"good": 1, "bad": 0, "reasons": []}


def test_nothing_is_neither_good_nor_bad(tmp_path: Path) -> None:
    assert run("verify", str(written(tmp_path)), "--json").json == {"good": 0, "bad": 0, "reasons": []}


FORGED = line(signed("a")).replace(b'"label":"a"', b'"label":"b"')
BAD = [
    (FORGED, Code.BAD_SIGNATURE),
    (b'{"signature":"00","record":{}}', Code.MALFORMED),
    (b"notes", Code.MALFORMED),
    (b"\xff", Code.MALFORMED),
    (b"", Code.MALFORMED),
    (b'{"signature":"%s","record":{}}' % (b"0" * 128), Code.MALFORMED),
    (b'{"signature":"%s","record":{"x":"%s"}}' % (b"0" * 128, b"x" * 300_000), Code.TOO_LARGE),
]


@pytest.mark.parametrize(("entry", "code"), BAD)
def test_what_is_bad_has_its_code(entry: bytes, code: Code) -> None:
    found = check(7, entry)

    assert isinstance(found, Bad)
    assert (found.number, found.code) == (7, code)


def test_bad_claims_end_with_one_and_are_named_up_to_a_limit(tmp_path: Path) -> None:
    file = tmp_path / "bad.ndjson"
    file.write_bytes(line(signed("good")) + FORGED * (BAD_SHOWN_MAX + 1))

    done = run("verify", str(file), "--json")
    shown = run("verify", str(file)).out

    answer = json.loads(done.out)
    assert (done.code, answer["good"], answer["bad"]) == (1, 1, BAD_SHOWN_MAX + 1)
    assert [reason["number"] for reason in answer["reasons"]] == list(range(2, BAD_SHOWN_MAX + 2))
    assert done.err == f"dnarc: bad: {BAD_SHOWN_MAX + 1} of {BAD_SHOWN_MAX + 2} claims are not valid\n"
    assert f"1 good, {BAD_SHOWN_MAX + 1} bad" in shown


def test_a_file_of_neither_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("notes\nmore\n")

    refused = run("verify", str(tmp_path / "notes"))

    assert refused.code == 1
    assert "holds neither lines" in refused.err


def test_a_file_that_is_absent_is_refused(tmp_path: Path) -> None:
    assert run("verify", str(tmp_path / "absent")).code == 2
    assert run("import", str(tmp_path / "absent"), "--token", "0").code == 2


def test_an_export_to_nowhere_is_refused(served: Served, tmp_path: Path) -> None:
    assert served.run("export", str(tmp_path / "absent" / "file")).code == 4


def test_a_place_takes_each_record_once() -> None:
    place = Place()

    taken = [place.take(1, "a"), place.take(1, "a"), place.take(1, "b"), place.take(2, "a"), place.take(2, "a")]

    assert taken == [True, False, True, True, False]


def test_the_error_of_another_file_is_the_users(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_bytes(b"notes\n")

    with file.open("a+b") as out, pytest.raises(CommandError) as refused:
        resume(out, file)

    assert refused.value.exit_code == 2

"""Export, import and verify: what leaves a node comes back, however often it was interrupted."""

import json
from pathlib import Path

import pytest

from node.cli.commands.export import Place, backwards, resume
from node.cli.commands.verify import BAD_SHOWN_MAX, Bad, check
from node.cli.output.failures import CommandError
from protocol.errors import Code
from tests.node.cli.conftest import Served, run, run_apart
from tests.node.cli.entry_files import line, signed, written


def test_what_is_exported_comes_into_another_node(tmp_path: Path) -> None:
    records = [signed(f"label-{number}", at=1_000 + number // 3) for number in range(2_500)]
    file = written(tmp_path, *records)
    node = Served(tmp_path)
    data = ("--data", str(node.data))

    first = node.run("import", str(file), "--json", *data).json
    second = node.run("import", str(file), "--json", *data).json
    exported = node.run("export", str(tmp_path / "out.ndjson"), "--json").json
    node.stop()

    rest = {"refused": 0, "broken": 0, "blank": 0, "reasons": []}
    assert first == {"accepted": 2_500, "known": 0, **rest}
    assert second == {"accepted": 0, "known": 2_500, **rest}
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

"""Export: what leaves a node comes into another, and an export goes on where its file ends."""

import os
import signal
from pathlib import Path

import pytest

from node.cli.commands.export import FilePlace, find_place, read_backwards
from node.cli.output.failures import CommandError
from tests.node.cli.conftest import TIMEOUT_S, Served, run_apart, start
from tests.node.cli.entry_files import line, signed, written
from tests.node.cli.relay import held


def test_exported_records_can_be_imported_by_another_node(tmp_path: Path) -> None:
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


def test_an_export_can_go_to_stdout(served: Served, tmp_path: Path) -> None:
    served.run("import", str(written(tmp_path, signed("out"))), "--data", str(served.data))

    exported = run_apart("export", "-", "--node", served.url)

    assert line(signed("out")).decode() in exported.out


@pytest.mark.parametrize("content", [b"notes\n", b"notes", b"{}\n", line(signed("a")) + b"notes\n"])
def test_a_file_that_is_no_export_stays_as_it_is(served: Served, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(content)

    refused = served.run("export", str(file))

    assert (refused.code, file.read_bytes()) == (2, content)
    assert "holds something other than an export" in refused.err


def test_the_place_has_the_last_timestamp_and_all_its_ids(tmp_path: Path) -> None:
    records = [signed("a", 1), signed("b", 2), signed("c", 2)]
    file = written(tmp_path, *records)

    with file.open("a+b") as out:
        out.write(b'{"signature":"torn')
        place = find_place(out, file)

    assert place == FilePlace(2, {records[1].record.id, records[2].record.id})
    assert file.read_bytes() == b"".join(map(line, records))


@pytest.mark.parametrize("size", [1, 5, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20])
def test_lines_are_read_from_the_end(tmp_path: Path, size: int) -> None:
    lines = [b"a" * 10, b"b" * size, b"", b"c"]
    file = tmp_path / "lines"
    file.write_bytes(b"\n".join(lines))

    with file.open("rb") as source:
        assert list(read_backwards(source, file.stat().st_size)) == lines[::-1]


def test_an_export_to_a_folder_that_does_not_exist_fails(served: Served, tmp_path: Path) -> None:
    assert served.run("export", str(tmp_path / "absent" / "file")).code == 4


def test_a_place_takes_each_record_once() -> None:
    place = FilePlace()

    taken = [place.take(1, "a"), place.take(1, "a"), place.take(1, "b"), place.take(2, "a"), place.take(2, "a")]

    assert taken == [True, False, True, True, False]


def test_a_file_that_is_no_export_is_a_wrong_use(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_bytes(b"notes\n")

    with file.open("a+b") as out, pytest.raises(CommandError) as refused:
        find_place(out, file)

    assert refused.value.exit_code == 2


def test_ctrl_c_leaves_whole_lines_and_the_same_command_goes_on(served: Served, tmp_path: Path) -> None:
    records = [signed(f"long-{number}", at=2_000 + number, domain="long.example") for number in range(1_000)]
    served.run("import", str(written(tmp_path, *records)), "--data", str(served.data))
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    arguments = ("--domain", "long.example")
    served.run("export", str(whole), *arguments)

    with held(served.url, passed_bytes=100_000, requests=2) as relay:
        process = start("export", str(cut), *arguments, "--node", relay.url)
        assert relay.holds.wait(TIMEOUT_S)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT_S)
    count = len(cut.read_bytes().splitlines())
    resumed = served.run("export", str(cut), *arguments)

    words = f"{count} records written to {cut} (the same command goes on)"
    assert (process.returncode, out, err) == (130, "", f"dnarc: interrupted: {words}\n")
    assert resumed.out == f"{1_000 - count} records written to {cut}\n"
    assert cut.read_bytes() == whole.read_bytes()


def test_a_pipe_is_no_file_to_go_on_with(served: Served, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    refused = served.run("export", str(tmp_path / "pipe"))

    assert (refused.code, refused.err.endswith("(`dnarc export -` writes to stdout)\n")) == (4, True)

"""Verify: every claim in a file is checked, in whatever form a node or another program left the file."""

import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import pytest

from node.cli.commands.verify import BAD_SHOWN_MAX, Bad, check
from node.cli.input.entries import BYTE_ORDER_MARK, LINE_BYTES_MAX
from protocol.errors import Code
from tests.node.cli.conftest import TIMEOUT_S, run, run_apart, start
from tests.node.cli.entry_files import line, signed, written


def test_good_claims_are_counted_from_lines_and_from_a_dict(tmp_path: Path) -> None:
    records = [signed(f"v{number}") for number in range(200)]
    claims = tmp_path / "claims.json"
    claims.write_text(json.dumps({each.signature: json.loads(each.record.canonical) for each in records}, indent=1))

    from_lines = run("verify", str(written(tmp_path, *records)), "--json").json
    from_dict = run("verify", str(claims), "--json").json

    assert from_lines == from_dict == {"good": 200, "bad": 0, "reasons": []}


def test_a_terminal_is_told_that_claims_are_read_from_it() -> None:
    """Otherwise `dnarc verify` without a file would look as if it hangs."""
    ours, theirs = pty.openpty()
    process = start("verify", stdin=theirs)
    os.close(theirs)
    os.write(ours, b"{}\n\x04")  # Ctrl-D ends the input

    out, err = process.communicate(timeout=TIMEOUT_S)

    os.close(ours)
    assert (out, err) == (
        "0 good, 0 bad\n",
        "dnarc: reading claims from the terminal: end them with Ctrl-D, or name a file\n",
    )


def test_claims_can_come_from_stdin() -> None:
    done = run_apart("verify", "--json", given=line(signed("a")).decode())

    assert done.json == {"good": 1, "bad": 0, "reasons": []}


def test_an_empty_file_has_no_good_and_no_bad_claims(tmp_path: Path) -> None:
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
def test_a_bad_claim_has_a_code(entry: bytes, code: Code) -> None:
    found = check(7, entry)

    assert isinstance(found, Bad)
    assert (found.number, found.code) == (7, code)


def test_bad_claims_end_with_1_and_are_listed_up_to_a_limit(tmp_path: Path) -> None:
    file = tmp_path / "bad.ndjson"
    file.write_bytes(line(signed("good")) + FORGED * (BAD_SHOWN_MAX + 1))

    done = run("verify", str(file), "--json")
    shown = run("verify", str(file)).out

    answer = json.loads(done.out)
    assert (done.code, answer["good"], answer["bad"]) == (1, 1, BAD_SHOWN_MAX + 1)
    assert [reason["number"] for reason in answer["reasons"]] == list(range(2, BAD_SHOWN_MAX + 2))
    assert done.err == f"dnarc: bad: {BAD_SHOWN_MAX + 1} of {BAD_SHOWN_MAX + 2} claims are not valid\n"
    assert f"1 good, {BAD_SHOWN_MAX + 1} bad" in shown


def test_a_file_without_claims_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("notes\nmore\n")

    refused = run("verify", str(tmp_path / "notes"))

    assert refused.code == 1
    assert "holds neither lines" in refused.err


def test_a_missing_file_is_a_wrong_use(tmp_path: Path) -> None:
    assert run("verify", str(tmp_path / "absent")).code == 2


TORN = line(signed("torn"))[:50] + b"\n"


@pytest.mark.parametrize(
    ("parts", "good", "bad"),
    [
        ([TORN, line(signed("a"))], 1, [1]),
        ([b"\n", TORN, line(signed("a"))], 1, [2]),
        ([BYTE_ORDER_MARK, line(signed("a")), b"\n", BYTE_ORDER_MARK, line(signed("b")), TORN], 2, [4]),
        ([line(signed("a")), b"x" * (LINE_BYTES_MAX + 1), b"\n", line(signed("b"))], 2, [2]),
    ],
)
def test_a_bad_line_has_its_number_and_hides_no_other(
    tmp_path: Path, parts: list[bytes], good: int, bad: list[int]
) -> None:
    file = tmp_path / "mixed.jsonl"
    file.write_bytes(b"".join(parts))

    answer = json.loads(run("verify", str(file), "--json").out)

    assert (answer["good"], [reason["number"] for reason in answer["reasons"]]) == (good, bad)


def test_a_dict_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "claims.json"
    record = signed("a")
    file.write_bytes(BYTE_ORDER_MARK + b'{"%s":%s}' % (record.signature.encode(), record.record.canonical))

    assert run("verify", str(file), "--json").json == {"good": 1, "bad": 0, "reasons": []}


def test_ctrl_c_says_how_many_were_verified() -> None:
    process = start("verify", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(line(signed("a")).decode() * 20_000)  # more than a pipe holds, so the command reads already
    process.stdin.flush()

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIMEOUT_S)

    assert (process.returncode, out) == (130, "")
    assert re.fullmatch(r"dnarc: interrupted: [0-9]+ good, 0 bad so far \(the rest is not verified\)\n", err), err

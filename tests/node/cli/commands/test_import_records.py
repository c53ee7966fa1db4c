"""Import: good lines are taken whatever stands between them, and an import that ends too early can go on."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest

from node.cli.commands.import_records import BATCH_RECORDS_MAX, TRIES_MAX, batches
from node.cli.commands.import_report import FAULTS_SHOWN_MAX, SKIPPED_SHOWN_MAX, ImportReport
from node.cli.input.entries import BYTE_ORDER_MARK, read_lines
from node.client.http import NodeClient
from protocol.records.record import SignedRecord
from tests.node.cli.conftest import TIMEOUT_S, Served, run, run_apart, start
from tests.node.cli.entry_files import line, signed, written
from tests.node.client.test_http import Reply, Script, serving

NODE: Reply = (200, {}, b'{"version": "1", "node": "key", "started": 0, "time": 0, "domains": {}}')
BUSY: Reply = (503, {"Retry-After": "0"}, b'{"code": "overloaded", "detail": "full"}')
BROKEN: Reply = (400, {}, b'{"code": "malformed", "detail": "unreadable"}')


def taken(*records: SignedRecord) -> Reply:
    return 200, {}, json.dumps({each.signature: {"status": "accepted"} for each in records}).encode()


def test_bad_lines_are_told_with_their_numbers_and_good_lines_are_taken(served: Served, tmp_path: Path) -> None:
    forged = line(signed("good-1")).replace(b'"label":"good-1"', b'"label":"forged"')
    file = tmp_path / "mixed.jsonl"
    torn = line(signed("torn"))[:50] + b"\n"
    parts = [BYTE_ORDER_MARK + line(signed("good-1")), torn, b"\n", forged, b" \r\n", line(signed("good-2"))]
    file.write_bytes(b"".join(parts))

    done = served.run("import", str(file), "--data", str(served.data), "--json")
    shown = served.run("import", str(file), "--data", str(served.data))

    answer = json.loads(done.out)
    counts = {name: answer[name] for name in ("accepted", "known", "refused", "broken", "blank")}
    assert counts == {"accepted": 2, "known": 0, "refused": 1, "broken": 1, "blank": 2}
    assert [(each["line"], each["status"], each["code"]) for each in answer["reasons"]] == [
        (2, "broken", "malformed"),
        (4, "refused", "bad_signature"),
    ]
    assert (done.code, done.err.splitlines()) == (
        1,
        [
            "dnarc: warning: blank lines were skipped: 3, 5",
            "dnarc: warning: a byte order mark was left out at the start of lines: 1",
            "dnarc: refused: 1 of 3 records were refused, 1 of 6 lines are broken",
        ],
    )
    assert shown.out.startswith("0 accepted, 2 known, 1 refused, 1 broken, 2 blank, in 6 lines\n")


def test_blank_lines_and_a_mark_alone_are_no_failure(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "blank.jsonl"
    file.write_bytes(BYTE_ORDER_MARK + line(signed("blank")) + b"\n")

    assert served.run("import", str(file), "--data", str(served.data)).code == 0


def test_a_file_of_another_kind_is_broken_line_by_line_up_to_a_limit(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_bytes(b"notes\n" * (FAULTS_SHOWN_MAX + 1) + b"\n" * (SKIPPED_SHOWN_MAX + 1))

    done = served.run("import", str(file), "--data", str(served.data), "--json")
    shown = served.run("import", str(file), "--data", str(served.data)).out

    assert done.code == 1
    assert [each["line"] for each in json.loads(done.out)["reasons"]] == list(range(1, FAULTS_SHOWN_MAX + 1))
    assert "… and 1 more" in shown
    assert done.err.splitlines()[0].endswith(f", {FAULTS_SHOWN_MAX + 1 + SKIPPED_SHOWN_MAX} … and 1 more")
    assert done.err.splitlines()[1] == "dnarc: broken: 21 of 42 lines are broken"


def test_a_record_that_makes_a_request_unreadable_is_refused_alone(tmp_path: Path) -> None:
    good, bad = signed("good"), signed("bad")

    with serving([NODE, BROKEN, taken(good), BROKEN]) as url:
        done = run("import", str(written(tmp_path, good, bad)), "--json", "--token", "secret", "--node", url)

    answer = json.loads(done.out)
    assert (done.code, answer["accepted"], answer["refused"]) == (1, 1, 1)
    assert answer["reasons"] == [
        {"line": 2, "signature": bad.signature, "status": "refused", "code": "malformed", "detail": "unreadable"}
    ]


def test_lines_may_come_from_stdin(served: Served) -> None:
    given = (line(signed("stdin-1")) + line(signed("stdin-2"))).decode()

    done = run_apart("import", "-", "--data", str(served.data), "--node", served.url, given=given)

    assert (done.code, done.out, done.err) == (0, "2 accepted, 0 known, 0 refused, in 2 lines\n", "")


def test_a_pipe_with_a_name_is_read_once_and_has_no_mark(served: Served, tmp_path: Path) -> None:
    """As a shell makes it for `dnarc import <(zcat records.gz)`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(line(signed("pipe")),))
    writer.start()

    done = served.run("import", str(pipe), "--data", str(served.data))
    writer.join()

    assert (done.code, done.out) == (0, "1 accepted, 0 known, 0 refused, in 1 line\n")
    assert list(tmp_path.iterdir()) == [pipe]


class Requests(list[str]):
    """The requests that a server got. `are_three` is set at the third."""

    def __init__(self) -> None:
        super().__init__()
        self.are_three = threading.Event()

    def append(self, request: str) -> None:
        super().append(request)
        if len(self) == 3:
            self.are_three.set()


def test_ctrl_c_says_how_many_were_taken_and_the_same_command_goes_on(tmp_path: Path) -> None:
    records = [signed(f"c{number}") for number in range(BATCH_RECORDS_MAX + 1)]
    file = written(tmp_path, *records)
    requests = Requests()
    wait = (503, {"Retry-After": "30"}, b'{"code": "overloaded", "detail": "full"}')
    rest = [NODE, taken(records[-1])]

    with serving([NODE, taken(*records[:-1]), wait, *rest], requests) as url:
        command = ("import", str(file), "--token", "secret", "--node", url)
        process = start(*command)
        assert requests.are_three.wait(TIMEOUT_S)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT_S)
        resumed = run(*command)

    words = "1,000 accepted, 0 known, 0 refused, up to line 1,000 (the same command goes on)"
    assert (process.returncode, out, err) == (130, "", f"dnarc: interrupted: {words}\n")
    assert (resumed.code, resumed.out) == (0, "1 accepted, 0 known, 0 refused, in 1 line\n")


def test_a_node_that_goes_away_leaves_the_number_of_records_taken(tmp_path: Path) -> None:
    records = [signed(f"g{number}") for number in range(BATCH_RECORDS_MAX + 1)]
    cut = (200, {"Content-Length": "1000"}, b"{")

    with serving([NODE, taken(*records[:-1]), cut]) as url:
        done = run("import", str(written(tmp_path, *records)), "--token", "secret", "--node", url)

    words = "1,000 accepted, 0 known, 0 refused, up to line 1,000 before the failure; the same command goes on"
    assert (done.code, done.err.splitlines()[0]) == (3, f"dnarc: warning: {words}")


def test_an_import_from_a_read_only_folder_needs_no_mark(tmp_path: Path) -> None:
    record = signed("read-only")
    file = written(tmp_path, record)
    file.with_name("claims.ndjson.import").mkdir()  # as no other file can be refused to root

    with serving([NODE, taken(record)]) as url:
        done = run("import", str(file), "--token", "secret", "--node", url)

    assert (done.code, done.out) == (0, "1 accepted, 0 known, 0 refused, in 1 line\n")
    assert "so an interrupted import begins again at line 1" in done.err


def test_a_file_that_is_absent_is_a_wrong_use(tmp_path: Path) -> None:
    assert run("import", str(tmp_path / "absent"), "--token", "0").code == 2


def test_an_import_waits_for_a_node_that_is_overloaded(tmp_path: Path) -> None:
    record = signed("busy")
    script: Script = [NODE, *[BUSY] * (TRIES_MAX - 1), taken(record)]

    with serving(script) as url:
        done = run("import", str(written(tmp_path, record)), "--json", "--token", "secret", "--node", url)

    assert done.json["accepted"] == 1


def test_an_import_ends_if_the_node_stays_overloaded(tmp_path: Path) -> None:
    with serving([NODE, *[BUSY] * TRIES_MAX]) as url:
        done = run("import", str(written(tmp_path, signed("busy"))), "--json", "--token", "secret", "--node", url)

    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("dnarc: overloaded: full")


def test_without_the_token_old_records_are_refused_with_a_warning(served: Served, tmp_path: Path) -> None:
    done = served.run("import", str(written(tmp_path, signed("old"))), "--json")

    assert done.code == 1
    assert json.loads(done.out)["reasons"][0]["code"] == "too_old"
    assert done.err.splitlines()[0].startswith("dnarc: warning: without the admin token")
    assert done.err.splitlines()[1].startswith("dnarc: refused: 1 of 1 records were refused")


def test_an_import_goes_on_at_the_mark_of_this_node(served: Served, tmp_path: Path) -> None:
    records = [signed("m1"), signed("m2")]
    file = written(tmp_path, *records)
    file.write_bytes(file.read_bytes() + b"notes\n")
    mark = tmp_path / "claims.ndjson.import"
    with NodeClient(served.url) as client:
        node_key = client.get("/node")["node"]
    arguments = ("import", str(file), "--data", str(served.data), "--json")

    mark.write_text(json.dumps({"node": node_key, "lines": 1, "bytes": len(line(records[0]))}))
    rest = json.loads(served.run(*arguments).out)
    mark.write_text(json.dumps({"node": "0" * 64, "lines": 1, "bytes": len(line(records[0]))}))
    whole = json.loads(served.run(*arguments).out)

    assert (rest["accepted"], rest["known"], rest["reasons"][0]["line"]) == (1, 0, 3)
    assert (whole["accepted"], whole["known"], whole["reasons"][0]["line"]) == (1, 1, 3)
    assert not mark.exists()


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (1_000, [1_000]), (1_001, [1_000, 1])])
def test_a_batch_holds_no_more_records_than_a_request_may(tmp_path: Path, count: int, sizes: list[int]) -> None:
    file = written(tmp_path, *(signed(f"b{number}") for number in range(count)))

    with file.open("rb") as source:
        found = list(batches(read_lines(source), ImportReport()))

    assert BATCH_RECORDS_MAX == 1_000
    assert [len(batch.records) for batch in found] == sizes
    assert [batch.end.end for batch in found if batch.end][-1:] == ([file.stat().st_size] if count else [])


def test_a_record_that_stands_twice_comes_in_two_batches(tmp_path: Path) -> None:
    file = written(tmp_path, signed("twice"), signed("twice"))

    with file.open("rb") as source:
        assert [len(batch.records) for batch in batches(read_lines(source), ImportReport())] == [1, 1]

"""The harness, driven as the test runners of other implementations drive it: two processes that exchange lines."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest

from protocol.errors import ProtocolError
from protocol.sets.index import Index, pack_key
from tests.negentropy_harness import Harness
from tests.paths import ROOT

ID = "ee" * 32


@contextmanager
def harness(frame_bytes_max: str = "") -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.negentropy_harness"],
        cwd=ROOT,
        env={**os.environ, "FRAMESIZELIMIT": frame_bytes_max},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        process.kill()


def say(process: subprocess.Popen[str], *lines: str) -> None:
    assert process.stdin is not None
    process.stdin.writelines(f"{line}\n" for line in lines)
    process.stdin.flush()


def heard(process: subprocess.Popen[str]) -> str:
    """The next line of output. The process must flush each line, because a runner waits for it before it says more."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


@pytest.mark.parametrize("frame_bytes_max", ["", "0", "4096"])
def test_two_processes_find_their_difference(frame_bytes_max: str) -> None:
    random = Random(1)
    items = [f"item,{1_700_000_000 + number // 3},{random.randbytes(32).hex()}" for number in range(1_000)]

    with harness(frame_bytes_max) as initiator, harness(frame_bytes_max) as responder:
        say(initiator, *items[:-200], "seal", "initiate")
        say(responder, *items[100:], "seal")
        reported = []
        while (line := heard(initiator)) != "done":
            if line.startswith("msg,"):
                say(responder, line)
                say(initiator, heard(responder))
            else:
                reported.append(line)

    have = [f"have,{item[-64:]}" for item in items[:100]]
    need = [f"need,{item[-64:]}" for item in items[-200:]]
    assert sorted(reported) == sorted(have + need)


def test_a_higher_version_is_answered_with_ours_and_the_conversation_goes_on() -> None:
    with harness() as responder:
        say(responder, f"item,12345,{ID}", "seal", "msg,62aabbccddeeff", "msg,6100000200")

        assert [heard(responder), heard(responder)] == ["msg,61", f"msg,6100000201{ID}"]


SAID = [
    (["seal", "initiate"], ["msg,6100000200"]),
    (["", f"item,1,{ID.upper()}", "seal\r", "msg,6100000200"], [f"msg,6100000201{ID}"]),
    ([f"item,1,{ID}", "seal", "initiate", "msg,61"], [f"msg,6100000201{ID}", "done"]),
    (
        [f"item,1,{ID}", "seal", "initiate", f"msg,6100000201{'dd' * 32}"],
        [f"msg,6100000201{ID}", f"have,{ID}", f"need,{'dd' * 32}", "done"],
    ),
]


@pytest.mark.parametrize(("lines", "answers"), SAID)
def test_each_line_is_answered_as_the_reference_harnesses_answer_it(lines: list[str], answers: list[str]) -> None:
    side = Harness(frame_bytes_max=0)

    assert [answer for line in lines for answer in side.answers(line)] == answers


def test_no_message_is_longer_than_the_limit() -> None:
    keys = [pack_key(second, bytes([second]) * 32) for second in range(200)]
    side = Harness(frame_bytes_max=4_096)
    for key in keys:
        assert list(side.answers(f"item,{key[7]},{key[8:].hex()}")) == []
    assert list(side.answers("seal")) == []

    [answer] = side.answers("msg,6100000200")

    assert 3_800 < len(bytes.fromhex(answer.removeprefix("msg,"))) <= 4_096
    assert answer.endswith(f"000001{Index(keys).fingerprint(122).hex()}")


REFUSED = [
    ([f"item,1,{ID}00"], "an id of 64 hex digits"),
    ([f"item,{2**64 - 1},{ID}"], "a timestamp of 64 bits, not the highest"),
    ([f"item,-1,{ID}"], "a timestamp of 64 bits"),
    (["item,one,two"], "invalid literal"),
    (["initiate"], "not its turn: 'initiate'"),
    (["msg,61"], "not its turn: 'msg,61'"),
    (["seal", "seal"], "not its turn: 'seal'"),
    (["seal", f"item,1,{ID}"], "not its turn: 'item,1,"),
    (["seal", "initiate", "initiate"], "not its turn: 'initiate'"),
    (["seal", "msg,5f"], "malformed: not a Negentropy message"),
    (["seal", "msg,"], "malformed: not a Negentropy message"),
    (["seal", "msg,6"], "non-hexadecimal number"),
    (["sael"], "not understood"),
]


@pytest.mark.parametrize(("lines", "reason"), REFUSED)
def test_a_mistake_in_the_input_ends_the_harness_with_a_reason(lines: list[str], reason: str) -> None:
    side = Harness(frame_bytes_max=0)

    with pytest.raises((ProtocolError, ValueError), match=reason):
        [answer for line in lines for answer in side.answers(line)]


@pytest.mark.parametrize(("frame_bytes_max", "reason"), [("4095", "4096 or more"), ("many", "invalid literal")])
def test_a_bad_limit_ends_the_process_with_status_1_and_one_line(frame_bytes_max: str, reason: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.negentropy_harness"],
        cwd=ROOT,
        env={**os.environ, "FRAMESIZELIMIT": frame_bytes_max},
        input="seal\n",
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert reason in ended.stderr

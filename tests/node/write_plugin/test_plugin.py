"""A real program in a real process: what the node does when the program fails, floods, hangs or lies."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.world import World
from node.write_plugin.conversation import ANSWER_BYTES_MAX, Answer, Question
from node.write_plugin.plugin import ASKED_MAX, SENT_MAX, WritePlugin
from node.write_plugin.process import STDERR_LINES_MAX
from protocol.errors import Code, ProtocolError
from protocol.records.admission import Trust
from protocol.records.replay import Verdict
from tests.history import claim
from tests.node.write_plugin.programs import ACCEPTING, SILENT, program
from tests.waiting import until

PATIENT_S = 120.0
"""How long a test waits for what has to happen. Nothing here takes a tenth of it."""


def question(label: str) -> Question:
    return Question(claim(label), Trust.CLIENT, None, Verdict.FOUNDED)


@asynccontextmanager
async def running(
    command: list[str], timeout_s: float = PATIENT_S, pause_s: float = 0.05
) -> AsyncIterator[WritePlugin]:
    plugin = WritePlugin(command, timeout_s, World(), pause_s)
    await plugin.start()
    try:
        yield plugin
    finally:
        await plugin.close()


async def ask(plugin: WritePlugin, label: str = "garden") -> Answer | Code:
    """The answer, or the code of the error in its place."""
    try:
        return await plugin.ask(question(label), "source")
    except ProtocolError as error:
        return error.code if error.facts["retry_after"] else Code.STALE


async def until_it_answers(plugin: WritePlugin) -> Answer:
    """Ask until a program answers. About another label, because a second answer about the first may still come."""
    async with asyncio.timeout(PATIENT_S):
        while True:
            answer = await ask(plugin, "again")
            if isinstance(answer, Answer):
                return answer
            await asyncio.sleep(0)


def accepted(label: str = "garden") -> Answer:
    return Answer(claim(label).id, "accept")


FAULTS = [
    ("sys.exit(3)", "it ended by itself (exit code 3)"),
    ("os.kill(os.getpid(), 9)", "it ended by itself (signal SIGKILL)"),
    ("print('hello', flush=True)", "it wrote a line that is no answer, 'hello'"),
    ("print('x' * 20_000_000, flush=True)", f"it wrote a line of more than {ANSWER_BYTES_MAX} bytes"),
    ("sys.stdout.write('x' * 100_000); sys.stdout.flush()", f"it wrote a line of more than {ANSWER_BYTES_MAX} bytes"),
    ("say(id='ab', action='accept')", "it answered about 'ab', about which it was not asked, or twice"),
    ("say(id=it['id'], action='accept'); say(id=it['id'], action='accept'); time.sleep(9)", "not asked, or twice"),
    ("[print('{}') for _ in range(100_000)]", "it wrote a line that is no answer, '{}'"),
    ("os.close(1); time.sleep(9)", "it closed its stdin or stdout"),
]


@pytest.mark.parametrize(("fault", "words"), FAULTS)
async def test_a_program_that_fails_is_named_and_clients_come_back_until_it_runs_again(
    tmp_path: Path, fault: str, words: str
) -> None:
    """The program fails once, at its first question, and works when it is started again."""
    body = f"""
for it in lines():
    if not os.path.exists(sys.argv[1]):
        open(sys.argv[1], 'w').close()
        {fault}
    else:
        say(id=it['id'], action='accept')
"""
    async with running([*program(tmp_path, body), str(tmp_path / "failed")]) as plugin:
        first = await ask(plugin)
        answer = await until_it_answers(plugin)
        [warning] = plugin.warnings()

        assert first in (Code.OVERLOADED, accepted())
        assert answer == accepted("again")
        assert words in warning
        assert "it runs again" in warning
        assert plugin.counts.restarts == 1


async def test_while_the_program_is_down_everything_is_refused_at_once(tmp_path: Path) -> None:
    async with running(program(tmp_path, "sys.exit(1)"), pause_s=PATIENT_S) as plugin:
        await until(lambda: bool(list(plugin.warnings())))
        refused = await ask(plugin)
        [warning] = plugin.warnings()

    assert refused is Code.OVERLOADED
    assert "it ended by itself (exit code 1); clients get 503 until it runs again" in warning
    assert (plugin.counts.failed, plugin.counts.restarts) == (1, 0)


async def test_a_program_that_fails_again_and_again_is_started_less_and_less_often(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    body = "print(time.monotonic(), file=open(sys.argv[1], 'a'))"

    async with running([*program(tmp_path, body), str(starts)], pause_s=0.05):
        await until(lambda: starts.exists() and len(starts.read_text().splitlines()) >= 5)
        times = [float(line) for line in starts.read_text().splitlines()[:5]]

    pauses = [after - before for before, after in pairwise(times)]
    assert [pause >= 0.05 * 2**number for number, pause in enumerate(pauses)] == [True] * 4


async def test_a_program_that_never_answers_is_given_up_and_nobody_waits_for_it(tmp_path: Path) -> None:
    async with running(program(tmp_path, SILENT), timeout_s=0.2) as plugin:
        answers = await asyncio.gather(*(ask(plugin, str(number)) for number in range(3)))
        [warning] = plugin.warnings()

    assert answers == [Code.OVERLOADED] * 3
    assert "it answered nothing for 0.2 s" in warning


async def test_an_answer_that_comes_too_late_is_no_fault_if_the_program_goes_on(tmp_path: Path) -> None:
    """It answers about all records but one, and about that one at the end."""
    started = tmp_path / "started"
    body = """
open(sys.argv[1], 'w').close()
for it in lines():
    if it['label'] == 'late':
        late = it
        continue
    if it['label'] == 'end':
        say(id=late['id'], action='accept')
    say(id=it['id'], action='accept')
"""
    async with running([*program(tmp_path, body), str(started)], timeout_s=2.0) as plugin:
        await until(started.exists)  # the time that a start takes on a busy machine is no silence
        late = asyncio.ensure_future(ask(plugin, "late"))
        number = 0
        while not late.done():
            await ask(plugin, str(number := number + 1))
            await asyncio.sleep(0)  # while a program is down, a refusal lets nobody else run
        [warning] = plugin.warnings()
        still_asked = await ask(plugin, "late")
        after = await ask(plugin, "end")

        assert [await late, still_asked, after] == [Code.OVERLOADED, Code.OVERLOADED, accepted("end")]
        assert "is slow" in warning
        assert plugin.counts.restarts == 0


async def test_sources_take_turns_so_that_one_record_does_not_wait_for_many_of_another(tmp_path: Path) -> None:
    async with running(program(tmp_path, ACCEPTING)) as plugin:
        answered: list[str] = []
        futures = {f"many {number}": plugin.ask(question(f"many {number}"), "many") for number in range(SENT_MAX + 9)}
        futures["one"] = plugin.ask(question("one"), "one")
        for name, future in futures.items():
            future.add_done_callback(lambda _, name=name: answered.append(name))  # type: ignore[misc]
        await asyncio.gather(*futures.values())

    assert answered.index("one") <= SENT_MAX + 1


async def test_one_record_past_the_limit_is_refused_at_once(tmp_path: Path) -> None:
    async with running(program(tmp_path, SILENT)) as plugin:
        waiting = [plugin.ask(question(str(number)), "source") for number in range(ASKED_MAX)]
        refused = await ask(plugin, "one more")
        was_waiting = plugin.waiting
        await plugin.close()
        ends = await asyncio.gather(*waiting, return_exceptions=True)

    assert (refused, was_waiting) == (Code.OVERLOADED, ASKED_MAX)
    assert {type(end) for end in ends} == {ProtocolError}


async def test_a_source_that_fills_the_queue_gives_way_to_another_one(tmp_path: Path) -> None:
    async with running(program(tmp_path, SILENT)) as plugin:
        flood = [plugin.ask(question(str(number)), "flood") for number in range(ASKED_MAX)]
        honest = plugin.ask(question("honest"), "honest")
        refused = [number for number, answer in enumerate(flood) if answer.done()]
        was_waiting = plugin.waiting
        await plugin.close()
        ends = await asyncio.gather(honest, *flood, return_exceptions=True)

    assert (refused, was_waiting) == ([ASKED_MAX - 1], ASKED_MAX)
    assert {type(end) for end in ends} == {ProtocolError}


async def test_a_flood_on_stderr_reaches_the_log_in_part_and_delays_no_answer(tmp_path: Path) -> None:
    body = "\nfor it in lines():\n    sys.stderr.write('spam\\n' * 10_000)\n    say(id=it['id'], action='accept')\n"

    with capture_logs() as logs:
        async with running(program(tmp_path, body)) as plugin:
            answers = [await ask(plugin, str(number)) for number in range(3)]

    lines = [entry for entry in logs if entry.get("line") == "spam"]
    assert answers == [accepted(str(number)) for number in range(3)]
    assert 0 < len(lines) <= 2 * STDERR_LINES_MAX


async def test_a_line_on_stderr_is_cut_to_a_length(tmp_path: Path) -> None:
    body = "sys.stderr.write('x' * 100_000 + '\\n')\n" + ACCEPTING

    with capture_logs() as logs:
        async with running(program(tmp_path, body)) as plugin:
            await ask(plugin)
            await until(lambda: any("line" in entry for entry in logs))

    assert [entry["line"] for entry in logs if "line" in entry] == ["x" * 1_000]


STUBBORN = """
import signal, subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
print(os.getpid(), child.pid, file=open(sys.argv[1], 'w'), flush=True)
for it in lines(): say(id=it['id'], action='accept')
while True: time.sleep(1)
"""


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):  # it may end between the two looks
        return False
    return "Z" not in state


async def test_the_program_and_what_it_started_end_with_the_node_even_if_it_does_not_want_to(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    async with running([*program(tmp_path, STUBBORN), str(pids)]) as plugin:
        await ask(plugin)
        before = [is_running(int(pid)) for pid in pids.read_text().split()]
    await until(lambda: not any(is_running(int(pid)) for pid in pids.read_text().split()))

    assert before == [True, True]


async def test_a_program_that_reads_to_the_end_may_end_by_itself(tmp_path: Path) -> None:
    end = tmp_path / "end"
    body = ACCEPTING + "open(sys.argv[1], 'w').write('in peace')\n"

    async with running([*program(tmp_path, body), str(end)]) as plugin:
        await ask(plugin)

    assert end.read_text() == "in peace"


async def test_a_program_that_is_killed_is_started_again(tmp_path: Path) -> None:
    body = "print(os.getpid(), file=open(sys.argv[1], 'w'), flush=True)\n" + ACCEPTING
    pid = tmp_path / "pid"

    async with running([*program(tmp_path, body), str(pid)]) as plugin:
        await ask(plugin)
        os.kill(int(pid.read_text()), signal.SIGKILL)
        await until(lambda: plugin.counts.restarts > 0)
        answer = await until_it_answers(plugin)

    assert answer == accepted("again")


async def test_a_program_that_is_not_there_cannot_be_started(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        async with running([str(tmp_path / "absent")]):
            pass

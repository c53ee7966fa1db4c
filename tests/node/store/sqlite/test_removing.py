"""Removing: what is erased or dropped is in no file of the store any more, and all the rest is as it was."""

import asyncio
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from node.removal.completion import complete_all
from node.store.contract import Batch, StoreError
from node.store.removals import Finish, RemovalKind, Target
from node.store.sqlite import removing
from node.store.sqlite.rebuilding import rebuild
from protocol.records.replay import Verdict
from tests.node.store.opened import sqlite
from tests.node.store.sqlite.older_files import WITHOUT_REMOVALS
from tests.node.store.store_batches import batch_of, claim
from tests.node.store.store_contract_removals import TARGETS, WITNESSED, MakeTarget, history, remove, secret


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "dnarc.db"


def found(path: Path, text: str = "sesame") -> bool:
    """Whether any file of the folder holds these bytes."""
    return any(text.encode() in file.read_bytes() for file in path.parent.iterdir())


@pytest.mark.parametrize(("target", "places"), TARGETS)
async def test_no_file_has_a_byte_of_an_erased_body(path: Path, target: MakeTarget, places: set[int]) -> None:
    records = history()
    async with sqlite(path) as store:
        await store.commit(batch_of(records))

        await remove(store, target(records))

        assert [found(path, secret(number)) for number in (1, 2, 3, 4, 5)] == [
            at not in places for at in (0, 2, 3, 4, 5)
        ]


async def test_an_erasure_leaves_the_bytes_of_what_witnesses_said(path: Path) -> None:
    records = [claim("garden", domain=WITNESSED, text=secret(1)), claim("@seen/x", domain=WITNESSED, text="vote")]
    async with sqlite(path) as store:
        await store.commit(batch_of(records))

        await remove(store, Target(domain=WITNESSED))

        assert (found(path), found(path, "vote")) == (False, True)


@pytest.mark.parametrize("seed", range(8))
async def test_no_copy_stays_behind_in_free_places_of_the_file(path: Path, seed: int) -> None:
    """Rows that move leave such copies: of 60 random histories whose rows changed their size, 2 kept some."""
    random = Random(seed)
    async with sqlite(path) as store:
        ids: list[str] = []
        for number in range(40):
            texts = [secret(random.randrange(9_999)) * random.choice((1, 5, 50)) for _ in range(random.choice((1, 9)))]
            records = [claim(f"{number}-{at}", text=text) for at, text in enumerate(texts)]
            await store.commit(batch_of(records))
            ids += [each.record.id for each in records]
            changed = random.sample(ids, min(len(ids), 3))
            await store.commit(Batch(verdicts=dict.fromkeys(changed, random.choice(list(Verdict)))))

        await remove(store, Target(domain="test"))

    assert not found(path)


async def test_a_file_of_an_older_version_is_written_anew(path: Path) -> None:
    """Older versions did not overwrite what they freed."""
    async with sqlite(path) as store:
        await store.commit(batch_of(history()))
    with closing(sqlite3.connect(path, isolation_level=None)) as older:
        older.execute("PRAGMA secure_delete = OFF").close()
        older.execute("CREATE TABLE copy AS SELECT body FROM records")
        older.execute("DROP TABLE copy")
        older.execute("UPDATE records SET verdict = 1 WHERE verdict = 10")
        older.executescript(WITHOUT_REMOVALS)

    async with sqlite(path) as store:
        for domain in ("test", "other"):
            await remove(store, Target(domain=domain))
        verdicts = [past.verdict for past in await store.history("test", "garden")]

    assert not found(path)
    assert verdicts == [Verdict.FOUNDED, Verdict.OFFERED, Verdict.TRANSFERRED, Verdict.RIVAL]


async def test_no_file_has_a_byte_of_a_dropped_domain(path: Path) -> None:
    records = history()
    async with sqlite(path) as store:
        await store.commit(batch_of(records))
        await remove(store, Target(ids=(records[0].record.id,)))

        await remove(store, Target(domain="test"), RemovalKind.DROP)

    assert [found(path, secret(number)) for number in (1, 2, 3, 4, 5)] == [False] * 4 + [True]
    assert rebuild(path).is_equal


async def test_a_removal_is_not_done_while_another_program_reads_the_log(path: Path) -> None:
    async with sqlite(path) as store:
        await store.commit(batch_of(history()))
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM records").fetchone()
            removal = await store.removals.begin(RemovalKind.ERASE, Target(domain="test"), "op", "", 1)
            await store.removals.go_on(removal.number)

            early = await store.removals.finish(removal.number)
            is_done_early = (await store.removals.removal(removal.number)).is_done
            reader.execute("COMMIT")
        late = await store.removals.finish(removal.number)

    assert (early, is_done_early, late) == (Finish.BUSY, False, Finish.DONE)


async def test_a_large_removal_goes_on_step_by_step(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removing, "STEP_ROWS", 2)
    async with sqlite(path) as store:
        await store.commit(batch_of([claim(at=at, n=at) for at in range(1, 6)]))
        for target in (Target(domain="test", label="garden"), Target(domain="test")):
            removal = await store.removals.begin(RemovalKind.ERASE, target, "op", "", 1)
            steps = [await store.removals.go_on(removal.number) for _ in range(3)]
            assert [each.is_last for each in steps] == [False, False, True]
            await complete_all(store)


@pytest.mark.parametrize("kind", list(RemovalKind))
async def test_a_killed_removal_is_finished_at_the_next_start(path: Path, kind: RemovalKind) -> None:
    """One process after the other is killed, each before another statement of the removal."""
    async with sqlite(path) as store:
        await store.commit(batch_of([claim(f"{at}", n=at, text=secret(at)) for at in range(4)]))

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _KILLED, str(path), kind, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    killed = [path.parent / number / path.name for number in output.decode().split()]

    assert len(killed) > 15
    for copy in killed:
        async with sqlite(copy) as store:
            is_begun = bool(await store.removals.list(None, 1))
            await complete_all(store)
        assert found(copy) is not is_begun
        assert rebuild(copy, is_check=True).is_equal
    assert not found(killed[-1])


_KILLED = """
import os, shutil, signal, sqlite3, sys
from pathlib import Path
from node.store.removals import RemovalKind, Target
from node.store.sqlite import removing

removing.STEP_ROWS = 2
path, kind = Path(sys.argv[1]), RemovalKind(sys.argv[2])

def remove(copy, left):
    connection = sqlite3.connect(copy, isolation_level=None)
    connection.execute("PRAGMA secure_delete = ON").close()

    def count(_):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    connection.set_trace_callback(count)
    number = removing.begin(connection, kind, Target(domain="test"), "op", "", 1).number
    while not removing.go_on(connection, number).is_last:
        pass
    removing.finish(connection, number)

number = 0
while True:
    number += 1
    copy = path.parent / str(number) / path.name
    copy.parent.mkdir()
    shutil.copy(path, copy)
    child = os.fork()
    if child == 0:
        remove(copy, number)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        assert status == 0
        break
    print(number)
"""


async def test_a_rebuild_proves_a_file_with_erased_records(path: Path) -> None:
    async with sqlite(path) as store:
        await store.commit(batch_of(history()))
        await remove(store, Target(domain="test"))

    rebuilt = rebuild(path)

    assert (rebuilt.is_equal, rebuilt.records, rebuilt.erased) == (True, 6, 5)


async def test_a_rebuild_repairs_what_derives_from_skeletons(path: Path) -> None:
    async with sqlite(path) as store:
        await store.commit(batch_of(history()))
        await remove(store, Target(domain="test"))
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("UPDATE records SET verdict = 7, timestamp = 9")

    assert not rebuild(path).is_equal

    assert rebuild(path).is_equal
    async with sqlite(path) as store:
        verdicts = [past.verdict for past in await store.history("test", "garden")]
    assert verdicts == [Verdict.FOUNDED, Verdict.OFFERED, Verdict.TRANSFERRED, Verdict.RIVAL]


async def test_a_skeleton_that_no_removal_accounts_for_is_damage(path: Path) -> None:
    async with sqlite(path) as store:
        await store.commit(batch_of(history()))
        await remove(store, Target(domain="other"))
    with closing(sqlite3.connect(path, isolation_level=None)) as shell:
        shell.execute("DELETE FROM erasures")

    with pytest.raises(StoreError, match="the bodies of 1 records are damaged"):
        rebuild(path)

"""Mutants: faults planted in the program on purpose, to prove that the swarm finds what it is there to find.

A simulator that finds nothing proves nothing. Each mutant is a few words of source replaced by others; the swarm plays
seeds against a copy of the program that is changed so, until one fails. Some faults are mended by reconciliation before
anybody could see them: that is what it is for, and it is taken out for those.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

ROOT: Final = Path(__file__).parent.parent
_PACKAGES: Final = ("node", "protocol", "simulations")


class Change(msgspec.Struct, frozen=True):
    """In this file, the one place with the old words gets the new ones."""

    file: str
    old: str
    new: str


class Mutant(msgspec.Struct, frozen=True):
    """One planted fault, in words and as changes. `is_alone`: reconciliation is taken out, as it would mend it."""

    name: str
    fault: str
    changes: tuple[Change, ...]
    is_alone: bool = False


class Find(msgspec.Struct, frozen=True):
    """How many seeds were played until one failed, and by what; `seed` None: none did."""

    mutant: str
    seeds: int
    seed: int | None
    by: str = ""


class MutantError(Exception):
    """The words that a mutant replaces are not in the program any more: it has to be planted anew."""


_NO_RECONCILIATION: Final = Change(
    "protocol/session.py",
    "if setting.role is Role.DIALLER:\n            self._reconciling",
    "if setting.role is None:\n            self._reconciling",
)

MUTANTS: Final = (
    Mutant(
        "no-prev-check",
        "`prev` is not looked at",
        (Change("protocol/replay.py", "if record.prev not in (None, tip.id):", "if record.prev == 0:"),),
    ),
    Mutant(
        "tie-by-arrival",
        "of two records of one moment, the first to arrive comes first",
        (
            Change(
                "protocol/replay.py",
                ".values(), key=lambda record: record.order_key)",
                ".values(), key=lambda record: record.timestamp)",
            ),
        ),
    ),
    Mutant(
        "append-above-head",
        "a record is appended where it is above the head, though a refused one is above it",
        (
            Change("protocol/replay.py", "return record.order_key > self.newest", "return True"),
            Change(
                "protocol/change.py",
                "    newest = state.newest\n",
                "    newest = state.tip.order_key if state.tip else state.newest\n",
            ),
        ),
    ),
    Mutant(
        "ack-before-commit",
        "an answer does not wait for the disk",
        (Change("node/ingest.py", "        await committed\n", ""),),
    ),
    Mutant(
        "unverified",
        "no signature is verified",
        (Change("simulations/verification.py", "return [self._verdicts.is_genuine(signed) for", "return [True for"),),
    ),
    Mutant(
        "no-age-limit",
        "a client may write as far into the past as it likes",
        (Change("protocol/admission.py", "record.timestamp < now - window.max_age_s:", "record.timestamp < 0:"),),
    ),
    Mutant(
        "no-skew-limit",
        "anybody may write as far into the future as they like",
        (Change("protocol/admission.py", "record.timestamp > now + window.max_skew_s:", "record.timestamp < 0:"),),
    ),
    Mutant(
        "forgotten-uncommitted",
        "what is decided and not yet on the disk is taken a second time",
        (Change("node/ingest.py", "or record.id in self._commits.uncommitted ", ""),),
    ),
    Mutant(
        "index-short",
        "after a restart the last record of each page is not in the index",
        (
            Change(
                "node/indexes.py",
                "keys.setdefault(domain, []).extend(page)",
                "keys.setdefault(domain, []).extend(page[:-1])",
            ),
        ),
    ),
    Mutant(
        "stale-heads",
        "a head that was asked for before is shown for ever",
        (
            Change(
                "node/heads.py",
                "                self._cache[key] = _prepared(signed)\n",
                "                del signed\n",
            ),
        ),
    ),
    Mutant(
        "parts-end-quietly",
        "a node whose sync has ended goes on as if it were well",
        (
            Change(
                "node/sync.py",
                'ended", peer=hidden(worker.peer.name))\n            self._node.fail(error)\n',
                'ended", peer=hidden(worker.peer.name))\n            del error\n',
            ),
        ),
    ),
    Mutant(
        "trust-by-dialler",
        "what may be pushed depends on which of two links stays",
        (Change("node/links/standing.py", "known is not None and peer.key == known", "known == peer.url"),),
    ),
    Mutant("cursor-only", "catch-up by timestamps alone", (), is_alone=True),
    Mutant(
        "no-graft",
        "what is told of by `have` is never asked for",
        (Change("protocol/gossip.py", "            outputs += self._ask(now)\n", "            self._ask(now)\n"),),
        is_alone=True,
    ),
    Mutant(
        "cursor-exclusive",
        "a pass begins after the cursor instead of at it",
        (
            Change(
                "protocol/outflow.py",
                "self._walks.begin(domain, before(timestamp), is_answer",
                "self._walks.begin(domain, before(timestamp + 1), is_answer",
            ),
        ),
        is_alone=True,
    ),
    Mutant(
        "cursor-past-refusals",
        "a cursor moves past what was refused for now",
        (Change("protocol/catch_up.py", "self.is_held = refusal in TRANSIENT", "self.is_held = False"),),
        is_alone=True,
    ),
)


def hunt(mutant: Mutant, seeds: int) -> Find:
    """Play seeds against the mutant until one fails. Raises: MutantError."""
    with TemporaryDirectory() as folder:
        copy = Path(folder)
        for package in _PACKAGES:
            shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
        for change in (*mutant.changes, *((_NO_RECONCILIATION,) if mutant.is_alone else ())):
            plant(copy, change)
        command = [sys.executable, "-m", "simulations.mutants", str(seeds)]
        environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=True)
    seed, by = json.loads(done.stdout.splitlines()[-1])
    return Find(mutant.name, seeds if seed is None else seed + 1, seed, by)


def plant(root: Path, change: Change) -> None:
    """Raises: MutantError: the words are not there, or not once."""
    path = root / change.file
    source = path.read_text(encoding="utf-8")
    if source.count(change.old) != 1:
        raise MutantError(f"{change.file} does not hold once: {change.old}")
    path.write_text(source.replace(change.old, change.new), encoding="utf-8")


def _first_failing(seeds: int) -> tuple[int | None, str]:
    """In the copy: the first seed that fails, and how it says so."""
    from simulations.play import play
    from simulations.swarm import draw

    for seed in range(seeds):
        outcome = play(draw(seed))
        if not outcome.is_good:
            return seed, outcome.faults[0]
    return None, ""


if __name__ == "__main__":
    print(json.dumps(_first_failing(int(sys.argv[1]))))

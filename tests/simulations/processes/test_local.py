"""A local network: its topology, what its users write, and a small run with real processes."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from simulations.processes.local import People, ring_with_chords

DNARC = Path(sys.executable).with_name("dnarc")

WRITES = 500
UPDATES_MIN, RIVALS_MIN = 100, 10
"""At most half of the updates and rivals that are expected among `WRITES` records."""

NODES, RECORDS, ROUNDS, SEED = 3, 80, 2, 2


@pytest.mark.parametrize(("count", "ring_edges"), [(2, 1), (3, 3), (20, 20)])
def test_a_local_network_is_a_ring_with_chords_and_no_pair_is_linked_twice(count: int, ring_edges: int) -> None:
    edges = ring_with_chords(count, Random(1))

    assert len(edges) >= ring_edges
    assert all(dialler != dialled for dialler, dialled in edges)
    assert len({frozenset(edge) for edge in edges}) == len(edges)
    assert {number for edge in edges for number in edge} == set(range(count))


def test_people_update_their_labels_with_later_timestamps_and_sometimes_claim_labels_of_others() -> None:
    people = People(Random(1))
    records = [people.write().record for _ in range(WRITES)]

    founders: dict[str, str] = {}
    newest: dict[str, int] = {}
    updates = rivals = 0
    for record in records:
        is_founder = founders.setdefault(record.label, record.signedby) == record.signedby
        if is_founder:
            assert record.timestamp > newest.get(record.label, 0)
            updates += record.label in newest
            newest[record.label] = record.timestamp
        rivals += not is_founder

    assert updates > UPDATES_MIN
    assert rivals > RIVALS_MIN


def test_a_local_network_that_is_broken_and_repaired_loses_no_record_and_ends_in_one_state(tmp_path: Path) -> None:
    flags = f"--nodes {NODES} --records {RECORDS} --rounds {ROUNDS} --seed {SEED} --json"
    command = [str(DNARC), "simulate", "local", *flags.split()]

    done = subprocess.run(
        command, env={"TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=480, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["is_good"]
    assert outcome["lost"] == []
    assert outcome["acknowledged"] + sum(outcome["refused"].values()) == RECORDS
    assert len(outcome["faults"]) == ROUNDS
    assert list(tmp_path.iterdir()) == []

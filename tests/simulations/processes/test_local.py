"""A local network: its plan by chance, and a small one run for real."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from simulations.processes.local import People, ring_with_chords

DNARC = Path(sys.executable).with_name("dnarc")


@pytest.mark.parametrize(("count", "ring"), [(2, 1), (3, 3), (20, 20)])
def test_a_local_network_is_a_ring_with_chords_and_no_pair_is_linked_twice(count: int, ring: int) -> None:
    edges = ring_with_chords(count, Random(1))

    assert len(edges) >= ring
    assert all(dialler != dialled for dialler, dialled in edges)
    assert len({frozenset(edge) for edge in edges}) == len(edges)
    assert {number for edge in edges for number in edge} == set(range(count))


def test_people_update_what_they_founded_with_a_later_timestamp_and_want_what_others_have() -> None:
    people = People(Random(1))
    records = [people.write().record for _ in range(500)]

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

    assert updates > 100
    assert rivals > 10


def test_a_local_network_that_is_broken_and_mended_loses_nothing_and_ends_in_one_state(tmp_path: Path) -> None:
    command = [
        str(DNARC),
        "simulate",
        "local",
        "--nodes",
        "3",
        "--records",
        "80",
        "--rounds",
        "2",
        "--seed",
        "2",
        "--json",
    ]

    done = subprocess.run(
        command, env={"TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=240, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["is_good"]
    assert outcome["lost"] == []
    assert outcome["acknowledged"] + sum(outcome["refused"].values()) == 80
    assert len(outcome["faults"]) == 2
    assert list(tmp_path.iterdir()) == []

"""The judges of witnessed domains see what they are there for: each rule is broken on purpose, and found."""

import json
from typing import Any

import pytest

from protocol.records.change import Event, EventType
from protocol.records.record import Record, make
from simulations.cast.council import Council
from simulations.cluster import Cluster
from simulations.judges.agreement import AgreementJudge
from simulations.judges.finality import FinalityJudge
from simulations.judges.promises import PromisesJudge
from simulations.judges.witnessed_oracle import Told
from simulations.run_result import observe
from simulations.world.simulation import Simulation

NOW_MS = 1_700_000_000_000
AUTHOR = "ab" * 32


class Found:
    """What the judges said."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def __call__(self, where: str, words: str) -> None:
        self.words.append(f"{where}: {words}")


@pytest.fixture
def found() -> Found:
    return Found()


COUNCIL = Council(Simulation(4), ["a", "b", "c"], 0)
"""Three honest witnesses, of which two decide."""


def claim(n: int, prev: Record | None = None) -> Record:
    fields = {"domain": COUNCIL.domain, "label": "garden", "signedby": AUTHOR, "timestamp": 1_700_000_000, "n": n}
    return make(fields | ({} if prev is None else {"prev": prev.id}))


FOUNDED, RIVAL = claim(1), claim(2)


def receipt(name: str, prev: Record | None = None, at_ms: int = NOW_MS, **said: Any) -> Record:
    key = COUNCIL.keys[name].public
    fields = {"domain": COUNCIL.domain, "label": f"@seen/{key}", "signedby": key, "timestamp": at_ms // 1_000}
    return make(fields | {"at": at_ms} | said | ({} if prev is None else {"prev": prev.id}))


def first(name: str, record: Record) -> Record:
    return receipt(name, first={record.id: NOW_MS})


def told_by_a(found: Found, *records: Record) -> None:
    """The machine a commits these records, one after another."""
    judge = PromisesJudge(found, COUNCIL)
    judge.on_start("a", [])
    for record in (FOUNDED, RIVAL, *records):
        judge.on_receipt(record)
        made_ms = json.loads(record.canonical).get("at", NOW_MS)
        judge.on_commit("a", [record], made_ms + 10, made_ms + 10)


def test_two_decided_records_of_one_slot_are_found_though_no_node_holds_all_receipts(found: Found) -> None:
    judge = AgreementJudge(found, COUNCIL.quorum)
    for record in (FOUNDED, RIVAL):
        judge.on_claim(record)
        for name in ("a", "b"):
            judge.on_receipt(receipt(name, commit={"0": [record.id]}))

    assert len(found.words) == 1
    assert "two records of one slot of garden are decided" in found.words[0]


def test_commits_of_two_rounds_decide_nothing(found: Found) -> None:
    judge = AgreementJudge(found, COUNCIL.quorum)
    judge.on_claim(FOUNDED)

    judge.on_receipt(receipt("a", commit={"0": [FOUNDED.id]}))
    judge.on_receipt(receipt("b", commit={"1": [FOUNDED.id]}))

    assert judge.decided == {}


def state(*chain: Record, final: int) -> dict[str, Told]:
    return {"garden": Told([record.id for record in chain], final, {}, {})}


def test_a_final_head_that_is_taken_back_is_found(found: Found) -> None:
    judge = FinalityJudge(found)
    judge.on_start("a", state(FOUNDED, final=1))

    judge.on_events("a", [Event(EventType.REVERTED, RIVAL, previous=FOUNDED.id)])

    assert found.words == [f"a: the final head {FOUNDED.id[:8]} of garden is taken back"]


def test_two_nodes_that_hold_different_records_final_are_found(found: Found) -> None:
    judge = FinalityJudge(found)

    judge.on_start("a", state(FOUNDED, final=1))
    judge.on_start("b", state(RIVAL, final=1))

    assert found.words == [f"b: place 0 of garden is final for {RIVAL.id[:8]}, and was for {FOUNDED.id[:8]}"]


def test_what_is_final_and_was_not_told_is_found(found: Found) -> None:
    judge = FinalityJudge(found)
    judge.on_start("a", state(final=0))

    judge.check("a", state(FOUNDED, final=1))

    assert found.words == ["a: 0 records of garden were told as final, and 1 are"]


def test_a_label_that_was_final_and_is_not_in_the_end_is_found(found: Found) -> None:
    judge = FinalityJudge(found)
    judge.on_start("a", state(FOUNDED, final=1))

    judge.check_kept("b", state(final=0), kept=state(FOUNDED, final=1))

    assert found.words == [f"b: {FOUNDED.id[:8]} of garden was final on some node, and is not final here"]


def test_what_was_final_may_be_lost_if_no_machine_keeps_what_makes_it_final(found: Found) -> None:
    judge = FinalityJudge(found)
    judge.on_start("a", state(FOUNDED, final=1))

    judge.check_kept("b", state(final=0), kept=state(FOUNDED, final=0))

    assert found.words == []


@pytest.mark.parametrize(("restored", "blamed"), [("ab", []), ("b", ["b"]), ("a", ["a"])])
def test_a_loss_is_excused_only_if_every_holder_was_restored_from_a_backup(restored: str, blamed: list[str]) -> None:
    """In seed 73055 the judge excused nothing, although no machine had kept the receipt that decides."""
    cluster = Cluster(Simulation(1))
    council = cluster.convene(["a"], 0)

    async def main() -> None:
        machines = await cluster.add_line("a", "b")
        backups = [cluster.backup(machine) for machine in machines]
        founder = cluster.user("founder")
        await founder.put(machines[0], council.policy_record(founder))
        await founder.claim(machines[0], "garden", domain=council.domain)
        await cluster.settle()
        await cluster.end_races(60)
        cluster.partition(machines[:1])
        for machine, backup in zip(machines, backups, strict=True):
            await machine.power_cut()
            if machine.name in restored:
                cluster.restore(machine, backup)
            await machine.start()
        await cluster.checkers.check_councils(cluster.machines)

    result = observe(cluster, main())

    lost = [each for each in result.violations if "was final on some node" in each]
    assert [each.split(" s, ")[1][0] for each in lost] == blamed


def test_an_honest_witness_that_keeps_its_promises_is_not_blamed(found: Found) -> None:
    one = first("a", FOUNDED)

    told_by_a(found, one, first("b", FOUNDED), receipt("a", one, NOW_MS + 100, commit={"0": [FOUNDED.id]}))

    assert found.words == []


def test_an_honest_witness_that_forks_is_found(found: Found) -> None:
    told_by_a(found, first("a", FOUNDED), receipt("a", seen={RIVAL.id: NOW_MS}))

    assert len(found.words) == 1
    assert "the honest witness forks" in found.words[0]


def test_a_second_vote_or_commit_in_a_round_is_found(found: Found) -> None:
    one = first("a", FOUNDED)
    two = receipt("a", one, NOW_MS + 100, commit={"0": [FOUNDED.id]})
    three = receipt("a", two, NOW_MS + 200, first={RIVAL.id: NOW_MS + 200}, commit={"0": [FOUNDED.id]})

    told_by_a(found, one, first("b", FOUNDED), two, three)

    assert found.words == [
        "a: the honest witness commits twice in round 0 of one slot",
        "a: the honest witness votes twice in round 0 of one slot",
    ]


def test_a_commit_with_too_few_votes_is_found(found: Found) -> None:
    one = first("a", FOUNDED)

    told_by_a(found, one, receipt("a", one, NOW_MS + 100, commit={"0": [FOUNDED.id]}))

    assert found.words == [f"a: {FOUNDED.id[:8]} is committed in round 0 with 1 votes"]


def test_a_vote_against_what_was_committed_is_found(found: Found) -> None:
    """Otherwise a decided record could be outvoted in a later round."""
    one = first("a", FOUNDED)
    two = receipt("a", one, NOW_MS + 100, commit={"0": [FOUNDED.id]})

    told_by_a(found, one, first("b", FOUNDED), two, receipt("a", two, NOW_MS + 9_000, vote={"1": [RIVAL.id]}))

    assert len(found.words) == 1
    assert "the honest witness forgets what it committed" in found.words[0]


def test_a_round_that_is_entered_before_a_quorum_has_voted_in_the_one_before_is_found(found: Found) -> None:
    one = first("a", FOUNDED)

    told_by_a(found, one, receipt("a", one, NOW_MS + 9_000, vote={"1": [FOUNDED.id]}))

    assert found.words == ["a: round 1 is entered when 1 witnesses had voted in the one before"]


def test_a_vote_that_does_not_wait_for_the_speaker_is_found(found: Found) -> None:
    one = first("a", FOUNDED)
    assert COUNCIL.policy.speaker(1) != COUNCIL.keys["a"].public
    round_0_ms, half_of_round_1_ms = 1_000, 1_000

    for waited_ms, violations in ((round_0_ms + half_of_round_1_ms, 0), (round_0_ms + 700, 1)):
        found.words.clear()
        told_by_a(found, one, first("b", RIVAL), receipt("a", one, NOW_MS + waited_ms, vote={"1": [FOUNDED.id]}))

        assert len(found.words) == violations


def test_a_receipt_of_before_a_restore_may_come_back_without_its_records(found: Found) -> None:
    judge, old = PromisesJudge(found, COUNCIL), first("a", FOUNDED)
    judge.on_receipt(old)

    judge.on_restore("a")
    judge.on_start("a", [])
    judge.on_commit("a", [old], NOW_MS + 10, NOW_MS + 10)

    assert found.words == []

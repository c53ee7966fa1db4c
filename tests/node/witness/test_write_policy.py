"""The operator's say in a witnessed domain: about claims of clients, and never about what witnesses need."""

from pathlib import Path

from protocol.records.write_policy import WritePolicy, WriteRules
from tests.node.witness.registrar import ALICE, BOB, begin, registrar, take_key
from tests.node.write_plugin.programs import program

ONLY_ALICE = WritePolicy(WriteRules(writers=frozenset({ALICE.public})))

REJECTING = """
for it in lines():
    say(id=it['id'], action='accept' if it['verdict'] == 'pending' and it['label'] != 'spam' else 'reject')
"""


async def test_the_policy_of_a_domain_is_taken_from_a_key_that_may_not_write_and_a_claim_is_not(tmp_path: Path) -> None:
    """Without its policy nobody could say who the witnesses are."""
    take_key(tmp_path)
    begin(tmp_path)

    async with registrar(tmp_path, write=ONLY_ALICE) as it:
        domain = it.node.witnessed.get(it.domain)
        refused = await it.put(it.claim(BOB))
        final = await it.put(it.claim(ALICE), wait_s=20)

    assert domain is not None
    assert domain.policy is not None
    assert (refused[0], refused[1]["code"], refused[1]["rule"]) == (403, "not_welcome", "writers")
    assert (final[0], final[1]["status"]) == (201, "accepted")


async def test_every_founding_that_a_key_brings_counts_against_its_limit_also_after_a_restart(tmp_path: Path) -> None:
    rules = WritePolicy(WriteRules(labels_per_founder_max=2))

    async with registrar(tmp_path, write=rules) as it:
        first = [(await it.put(it.claim(ALICE, label=label)))[1].get("code") for label in ("a", "b", "c")]
        other = (await it.put(it.claim(BOB, label="c")))[1].get("code")
    async with registrar(tmp_path, write=rules) as it:
        again = (await it.put(it.claim(ALICE, label="d")))[1].get("code")

    assert (first, other, again) == ([None, None, "not_welcome"], None, "not_welcome")


async def test_the_program_is_asked_about_claims_which_are_pending_and_about_nothing_of_witnesses(
    tmp_path: Path,
) -> None:
    take_key(tmp_path)
    begin(tmp_path)

    async with registrar(tmp_path, write_plugin=program(tmp_path, REJECTING)) as it:
        refused = await it.put(it.claim(ALICE, label="spam"))
        final = await it.put(it.claim(ALICE), wait_s=20)
        assert it.node.plugin is not None
        counts = it.node.plugin.counts

    assert (refused[0], refused[1]["code"]) == (403, "not_welcome")
    assert final[0] == 201
    assert (counts.accepted, counts.rejected, counts.failed) == (1, 1, 0)

"""A trial counts what the rules and the program would have done, and takes nothing that they refuse."""

from pathlib import Path

import pytest

from node.write_plugin.trial import EXAMPLES_MAX, MESSAGES_MAX
from protocol.records.write_policy import WritePolicy, WriteRules
from tests.history import ALICE, BOB, claim, offer
from tests.node.write_plugin.programs import REJECTING_SPAM, program, tried


async def test_refusals_are_counted_by_rule_and_by_the_message_of_the_program(tmp_path: Path) -> None:
    rules = WritePolicy(WriteRules(banned_keys=frozenset({BOB.public})))
    records = [claim("spam", at=1), claim("garden", by=BOB, at=2), claim("garden", at=3), claim("spam", by=ALICE, at=4)]

    trial = await tried(*records, write=rules, write_plugin=program(tmp_path, REJECTING_SPAM))

    assert (trial.accepted, trial.refused, trial.fault) == (1, 3, None)
    assert trial.reasons == {("write_plugin", "no spam, please"): 2, ("banned_keys", None): 1}
    assert sorted((each.label, each.rule) for each in trial.examples) == [
        ("garden", "banned_keys"),
        ("spam", "write_plugin"),
        ("spam", "write_plugin"),
    ]


async def test_a_label_goes_on_without_what_was_refused() -> None:
    """So the next record founds the label, and a rule about foundings counts it."""
    rules = WriteRules(founders=frozenset({ALICE.public}), labels_per_founder_max=1)
    sold = [claim("a", at=2), offer("a", ALICE, BOB, 3), claim("a", by=BOB, at=4)]
    records = [claim("a", by=BOB, at=1), *sold, claim("a", by=BOB, at=5), claim("b", at=6)]

    trial = await tried(*records, write=WritePolicy(rules))

    assert (trial.accepted, trial.reasons) == (4, {("founders", None): 1, ("labels_per_founder_max", None): 1})


async def test_a_fault_of_the_program_ends_the_trial_and_is_named(tmp_path: Path) -> None:
    trial = await tried(*(claim(str(number)) for number in range(99)), write_plugin=program(tmp_path, "sys.exit(7)"))

    assert trial.fault is not None
    assert "exit code 7" in trial.fault
    assert trial.accepted == 0


async def test_few_messages_and_few_examples_are_kept(tmp_path: Path) -> None:
    count = MESSAGES_MAX + 9

    records = [claim(f"spam {number}", at=number + 1) for number in range(count)]
    trial = await tried(*records, write_plugin=program(tmp_path, REJECTING_SPAM))

    assert (trial.refused, len(trial.reasons), len(trial.examples)) == (count, MESSAGES_MAX + 1, EXAMPLES_MAX)
    assert trial.reasons["write_plugin", "(other messages)"] == 9


async def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        await tried(claim("a"), write_plugin=["/nowhere/at/all"])

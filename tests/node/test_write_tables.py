"""The tables `[write]` of a settings file: how they are read and shown, and which error a wrong table causes."""

from pathlib import Path

import pytest

from node.settings.description import spell
from node.settings.loading import SettingsError, load
from node.settings.write_tables import MESSAGE_CHARACTERS_MAX, RULES, tables_of
from protocol.records.admission import Allowance
from protocol.records.write_policy import OPEN, WritePolicy, WriteRules
from tests.history import ALICE, BOB

A, B = ALICE.public, BOB.public

BOTH = f"""
[write]
founders = ["{A}"]
banned_keys = ["{B}"]
banned_labels = ["spam"]
record_bytes_max = 500
message = "ask ops@example.org"

[write."example.org"]
founders = "none"
banned_labels = ["x"]
"""


def read(folder: Path, text: str) -> WritePolicy:
    file = folder / "dnarc.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, {}, {}).settings.write


def test_without_a_table_everybody_may_write(tmp_path: Path) -> None:
    assert read(tmp_path, "port = 1") == OPEN
    assert spell(OPEN) == "none"


def test_a_table_holds_for_all_domains_and_a_table_inside_it_for_one(tmp_path: Path) -> None:
    for_all = WriteRules(
        founders=frozenset({A}),
        banned_keys=frozenset({B}),
        banned_labels=("spam",),
        record_bytes_max=500,
        message="ask ops@example.org",
    )

    policy = read(tmp_path, BOTH)

    assert policy.for_all == for_all
    assert policy.domains == {"example.org": for_all.within({"founders": None, "banned_labels": ("x",)})}


def test_a_domain_may_have_the_name_of_a_rule(tmp_path: Path) -> None:
    policy = read(tmp_path, "[write.founders]\nrecord_bytes_max = 1")

    assert policy == WritePolicy(domains={"founders": WriteRules(record_bytes_max=1)})


def test_the_tables_are_shown_with_what_applies_in_each(tmp_path: Path) -> None:
    policy = read(tmp_path, BOTH)

    assert tables_of(policy)['[write."example.org"]'] == {
        "banned_keys": [B],
        "banned_labels": ("spam", "x"),
        "record_bytes_max": 500,
        "message": "ask ops@example.org",
    }
    assert spell(policy).splitlines()[0] == (
        f'[write] founders = ["{A}"], banned_keys = ["{B}"], banned_labels = ["spam"], record_bytes_max = 500, '
        'message = "ask ops@example.org"'
    )


KEYS = "a list of keys, each of 64 lower-case hex digits in quotes"
LABELS = "a list of beginnings of labels in quotes, each of 1 to 255 bytes"
WRONG = [
    ("write = 1", 'write should be a table: [write] for all domains, [write."example.org"] for one'),
    ("[write]\nfounder = []", "founder in the table [write] is no rule: did you mean founders?"),
    (
        '[write."a.b"]\nzzz = 1',
        f'zzz in the table [write."a.b"] is no rule: the keys are {", ".join(RULES)}',
    ),
    (
        '[write]\nfounders = "x"',
        f"founders in the table [write] is 'x': it should be {KEYS}, or \"none\" for every key",
    ),
    ('[write]\nbanned_keys = ["x"]', f"banned_keys in the table [write] is ['x']: it should be {KEYS}"),
    ('[write]\nbanned_keys = "none"', f"banned_keys in the table [write] is 'none': it should be {KEYS}"),
    (
        f'[write]\nbanned_keys = ["{A.upper()}"]',
        f"banned_keys in the table [write] is ['{A.upper()[:58]}…: it should be {KEYS}",
    ),
    ('[write]\nbanned_labels = [""]', f"banned_labels in the table [write] is ['']: it should be {LABELS}"),
    (
        "[write]\nrecord_bytes_max = 0",
        f"record_bytes_max in the table [write] is 0: it should be {RULES['record_bytes_max'].words}",
    ),
    (
        "[write]\nlabels_per_founder_max = true",
        f"labels_per_founder_max in the table [write] is True: it should be {RULES['labels_per_founder_max'].words}",
    ),
    (
        f'[write]\nmessage = "{"a" * (MESSAGE_CHARACTERS_MAX + 1)}"',
        f'message in the table [write] is \'{"a" * 59}…: it should be a text of 1 to 500 characters, or "none"',
    ),
    (
        '[write."Not A Domain"]\nfounders = []',
        '[write."Not A Domain"] should bear the name of a domain, such as [write."example.org"]',
    ),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_table_is_refused_with_its_name_its_key_and_what_would_be_right(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        read(tmp_path, text)

    assert str(refused.value) == f"{message} ({tmp_path / 'dnarc.toml'})"


def test_a_table_is_no_variable(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="DNARC_WRITE in the environment is no setting"):
        load(None, {"DNARC_WRITE": "none"}, {})


def test_a_domain_may_have_quotas_of_its_own(tmp_path: Path) -> None:
    policy = read(tmp_path, '[write."example.org"]\ndomain_records_max = 7\ndomain_bytes_max = "none"')

    default = Allowance(1, 1)
    assert policy.rules_of("example.org").allowance(default) == Allowance(7, None)
    assert policy.rules_of("other.org").allowance(default) == default
    assert tables_of(policy) == {'[write."example.org"]': {"domain_records_max": 7, "domain_bytes_max": "none"}}


def test_the_quota_for_all_domains_is_a_setting_and_no_rule(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"domain_records_max in the table .write. is no rule for all domains"):
        read(tmp_path, "[write]\ndomain_records_max = 7")

"""What is found about a node as a witness, and about the witnesses of its domains."""

from pathlib import Path

import pytest

from node.checkup.finding import Level
from node.checkup.witness import check_figures, check_files, witnessed_by
from node.client.figures import Figures
from node.durable_files import write_durably
from node.witness.newest import path_of, spell_begin, spell_receipt
from node.witness.own import Silence
from protocol.records.record import make, sign
from protocol.signing import SigningKey
from protocol.witness.receipt import receipt_label
from tests.node.witness.registrar import ALICE, WITNESS

DOMAIN = "com.example.d"
WELL = """\
dnarc_undecided_records{domain="com.example.d"} 2
dnarc_doubly_decided_slots{domain="com.example.d"} 0
dnarc_witness_silent{domain="com.example.d",reason="not_begun"} 0
dnarc_witness_silent{domain="com.example.d",reason="unreadable"} 0
dnarc_witness_forks{domain="com.example.d",witness="one"} 0
dnarc_witness_forks{domain="com.example.d",witness="other"} 0
dnarc_witness_unheard{domain="com.example.d",witness="one"} 0
dnarc_witness_unheard{domain="com.example.d",witness="other"} 0
"""


def levels(text: str) -> dict[str, Level]:
    return {finding.check: finding.level for finding in check_figures(Figures.read(text))}


def test_all_findings_about_honest_witnesses_are_ok() -> None:
    assert levels(WELL) == {"witness.speaks": Level.OK, "witness.honest": Level.OK, "witness.heard": Level.OK}
    assert witnessed_by(Figures.read(WELL)) == [DOMAIN]


def test_nothing_is_found_about_a_node_that_watches_no_domain() -> None:
    assert levels("dnarc_witnessed_domains 7\n") == {}


@pytest.mark.parametrize(
    ("sample", "check", "level", "words"),
    [
        ('reason="not_begun"}', "witness.speaks", Level.FAIL, Silence.NOT_BEGUN.remedy),
        ('forks{domain="com.example.d",witness="other"}', "witness.honest", Level.WARN, "restored from a copy"),
        ('unheard{domain="com.example.d",witness="one"}', "witness.heard", Level.WARN, "mend the links"),
        ('slots{domain="com.example.d"}', "witness.decided", Level.FAIL, "choose other witnesses"),
    ],
)
def test_a_fault_is_found_with_its_remedy(sample: str, check: str, level: Level, words: str) -> None:
    text = WELL.replace(f"{sample} 0", f"{sample} 1")

    (found,) = [finding for finding in check_figures(Figures.read(text)) if finding.level is not Level.OK]

    assert (found.check, found.level, words in str(found.remedy)) == (check, level, True)


def file_of(tmp_path: Path, content: bytes | None, key: str = WITNESS.public) -> tuple[Level, str]:
    if content is not None:
        write_durably(path_of(tmp_path, DOMAIN), content)
    (found,) = check_files(tmp_path, [DOMAIN], key)
    assert (found.check, (found.remedy is None) == (found.level is Level.OK)) == ("witness.file", True)
    return found.level, found.detail


def receipt_by(key: SigningKey) -> bytes:
    fields = {"domain": DOMAIN, "label": receipt_label(key.public), "signedby": key.public, "timestamp": 1, "at": 1_000}
    return spell_receipt(sign(make(fields), key))


@pytest.mark.parametrize("content", [spell_begin(None), spell_begin("ab" * 32), receipt_by(WITNESS)])
def test_a_file_that_says_how_the_witness_goes_on_is_ok(tmp_path: Path, content: bytes) -> None:
    assert file_of(tmp_path, content)[0] is Level.OK


BAD_FILES = {
    "missing": (None, "is missing, so the node is silent"),
    "damaged": (b"{", "is damaged"),
    "of another node": (receipt_by(ALICE), "holds a receipt of another key"),
}


@pytest.mark.parametrize(("content", "words"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_a_file_with_which_a_witness_cannot_go_on_fails(tmp_path: Path, content: bytes | None, words: str) -> None:
    level, detail = file_of(tmp_path, content)

    assert (level, words in detail) == (Level.FAIL, True)


def test_a_file_that_cannot_be_read_fails(tmp_path: Path) -> None:
    path_of(tmp_path, DOMAIN).mkdir(parents=True)

    level, detail = file_of(tmp_path, None)

    assert (level, "is a directory" in detail) == (Level.FAIL, True)

"""`dnarc domains` against a real node: what it holds, and what fills it."""

import json

import pytest

from node.client.http import NodeClient
from tests.history import ALICE, BOB, claim, signed
from tests.node.cli.conftest import Served

RECORDS = [
    claim("a", ALICE, 1_000_000, domain="small.example"),
    claim("b", BOB, 1_000_000, domain="small.example"),
    claim("c", ALICE, 1_000_000, domain="large.example", text="x" * 5_000),
]


@pytest.fixture(scope="module")
def filled(served: Served) -> Served:
    """The records come from the admin, so that they may have any age."""
    token = (served.data / "admin-token").read_text().strip()
    entries = ",".join(f'"{each.signature}":{each.record.canonical.decode()}' for each in map(signed, RECORDS))
    with NodeClient(served.url, token) as client:
        client.ask("PUT", "/claims", body=f"{{{entries}}}".encode()).check()
    return served


def test_domains_are_shown_with_their_records(filled: Served) -> None:
    shown = filled.run("domains", "--json").json

    assert {name: held["count"] for name, held in shown.items()} == {"large.example": 1, "small.example": 2}


def test_the_largest_domains_come_first(filled: Served) -> None:
    shown = filled.run("domains", "--sizes", "--json").json
    lines = filled.run("domains", "--sizes").out.splitlines()

    sizes = {"small.example": RECORDS[:2], "large.example": RECORDS[2:]}
    assert shown == [
        {"domain": name, "records": len(sizes[name]), "bytes": sum(len(each.canonical) for each in sizes[name])}
        for name in ("large.example", "small.example")
    ]
    assert "bytes in 3 records" in lines[0]
    assert [line.split()[0] for line in lines if "%" in line] == ["large.example", "small.example"]


def test_the_largest_keys_come_first_of_all_domains_or_of_one(filled: Served) -> None:
    everywhere = filled.run("domains", "--keys", "--json").json
    in_one = filled.run("domains", "--keys", "--domain", "small.example", "--limit", "1", "--json").json

    assert [(row["key"], row["records"]) for row in everywhere] == [(ALICE.public, 2), (BOB.public, 1)]
    assert [row["records"] for row in in_one] == [1]


@pytest.mark.parametrize("flags", ["--sizes --keys", "--domain small.example", "--sizes --domain small.example"])
def test_options_that_do_not_go_together_are_refused(filled: Served, flags: str) -> None:
    refused = filled.run("domains", *flags.split())

    assert refused.code == 2
    assert json.dumps(refused.out) == '""'

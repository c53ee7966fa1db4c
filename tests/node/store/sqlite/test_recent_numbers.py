"""The writer keeps the row numbers of records of witnessed domains that came lately, and only of so many."""

from node.store.sqlite.writing import RecentNumbers
from tests.history import ALICE
from tests.node.store.store_contract_witnesses import DOMAIN, Keeper, signed


def test_only_the_latest_numbers_are_kept() -> None:
    claims = [signed(ALICE, f"label-{number}") for number in range(3)]
    batch = Keeper().batch(claims)
    records = {each.record.id: number for number, each in enumerate(claims)}
    labels = {(DOMAIN, f"label-{number}"): number for number in range(3)}
    recent = RecentNumbers(kept=2)

    recent.keep(batch, records, labels)

    assert recent.records == {each.record.id: number for number, each in list(enumerate(claims))[1:]}
    assert recent.labels == {(DOMAIN, "label-1"): 1, (DOMAIN, "label-2"): 2}

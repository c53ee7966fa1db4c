"""How many labels a key has founded: the numbers in memory are bounded."""

from pathlib import Path

from node.intake.founders import Founders
from tests.history import DOMAIN, PEOPLE
from tests.node.intake.pipeline import pipeline


async def test_past_the_limit_the_number_that_was_read_first_is_forgotten(tmp_path: Path) -> None:
    one, two, three = ((DOMAIN, person.public) for person in PEOPLE[:3])

    async with pipeline(tmp_path) as it:
        founders = Founders(it.store, it.commits, counts_max=1)
        await founders.load([one, two])
        await founders.load([three])

    assert [founders.count(each) for each in (one, two, three)] == [None, 0, 0]

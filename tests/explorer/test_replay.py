"""The browser gives the node's verdicts, in the node's words."""

import json
from random import Random
from typing import Any

import pytest
from playwright.async_api import Page

from protocol.errors import Code
from protocol.records.record import Record
from protocol.records.replay import REASONS, replay
from protocol.witness.walk import WITNESSED_REASONS
from tests.history import NOWHERE, PEOPLE, claim

pytestmark = pytest.mark.asyncio(loop_scope="session")

JUDGE = """async histories => {
    const { replay } = await import("/explorer/replay.js");
    const plain = ({ entry, verdict, after }) => [entry.id, verdict, after?.id ?? null];
    return histories.map(history => replay(history).map(plain));
}"""


def some_history(random: Random) -> list[Record]:
    records: list[Record] = []
    for _ in range(random.randrange(10)):
        fields: dict[str, Any] = {"n": random.randrange(3)}
        if random.random() < 0.4:
            fields["newowner"] = random.choice(PEOPLE).public
        prev = random.choice([None, None, NOWHERE, *(each.id for each in records)])
        records.append(claim("garden", random.choice(PEOPLE), random.randint(1, 6), prev=prev, **fields))
    return list({record.id: record for record in records}.values())


async def test_the_browser_judges_any_history_as_the_node_does(modules: Page) -> None:
    random = Random(0)
    histories = [some_history(random) for _ in range(400)]
    shown = [[{"id": record.id, "record": json.loads(record.canonical)} for record in history] for history in histories]

    judged = await modules.evaluate(JUDGE, shown)

    expected = [[[it.record.id, it.verdict, it.tip] for it in replay(history).judged] for history in histories]
    assert judged == expected
    assert {verdict for history in judged for _, verdict, _ in history} == set(map(str, REASONS)) - {"pending"}


async def test_the_page_gives_the_nodes_reasons(modules: Page) -> None:
    script = """async () => {
        const { REASONS, WITNESSED_REASONS } = await import("/explorer/words.js");
        return [REASONS, WITNESSED_REASONS];
    }"""
    reasons = await modules.evaluate(script)

    assert reasons == [
        {str(verdict): words for verdict, words in each.items()} for each in (REASONS, WITNESSED_REASONS)
    ]


async def test_the_page_knows_a_remedy_for_every_refusal(modules: Page) -> None:
    """The other codes end links, or belong to requests that the page does not send."""
    left_out = {"unknown_peer", "unknown_route", "method_not_allowed", "timeout", "unsupported_version", "self_link"}
    left_out |= {"duplicate_key", "duplicate_link", "restart", "stopping"}
    codes = sorted({str(code) for code in Code} - left_out)

    unknown, *remedies = await modules.evaluate(
        'async codes => { const words = await import("/explorer/words.js"); return codes.map(words.remedyOf); }',
        ["no code of ours", *codes],
    )

    assert [code for code, remedy in zip(codes, remedies, strict=True) if remedy == unknown] == []

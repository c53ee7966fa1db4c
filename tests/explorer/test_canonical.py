"""The browser writes the same canonical JSON as the node, byte for byte, and refuses the same values."""

import json
import math
import struct
from random import Random
from typing import Any

import pytest
from playwright.async_api import Page

from protocol.errors import ProtocolError
from protocol.records.canonical import canonicalise

pytestmark = pytest.mark.asyncio(loop_scope="session")

SPELL = """async texts => {
    const { canonical, read } = await import("/explorer/canonical.js");
    return texts.map(text => { try { return canonical(read(text)); } catch { return null; } });
}"""

EDGES = [
    "0",
    "-0",
    "1",
    "-1",
    "1.0",
    "1.50",
    "1e0",
    "1E400",
    "-1e400",
    "1e-400",
    "1e20",
    "1e21",
    "123456789012345678901",
    "9007199254740991",
    "9007199254740992",
    "-9007199254740991",
    "-9007199254740992",
    "9007199254740991.4",
    "1e-7",
    "1e-6",
    "0.000001",
    "0.1",
    "0.30000000000000004",
    "5e-324",
    "1.7976931348623157e308",
    "2.2250738585072014e-308",
    "333333333.3333333",
    "true",
    "false",
    "null",
    '""',
    '"\\u0000\\u001f\\u007f\\u0080"',
    '"\\u2028\\u2029"',
    '"\\/"',
    '"\\ud83d\\ude00"',
    '"\\ud83d"',
    '"\\ude00\\ud83d"',
    '{"\\ud83d":1}',
    "[]",
    "{}",
    "[[[]]]",
    '{"a":1,"a":2}',
    '{"a":{"b":1,"b":2}}',
    '{"a":1,"\\u0061":2}',
    '[{"a":1},{"a":2}]',
    '{"a":"a","b":["a","a"]}',
    '{"":"","\\"":":"}',
    '{"__proto__":1,"constructor":2,"toString":3}',
    '{"10":1,"9":2,"1":3}',
    '{"\\ue000":1,"\\ud83d\\ude00":2,"\\uffff":3,"z":4,"\\u00e9":5}',
    " [ 1 , 2 ] ",
    "[1,]",
    "{'a':1}",
    "NaN",
    "Infinity",
    "01",
    "+1",
    "1.",
    ".5",
    '"\t"',
    "",
    "[1] x",
    "[" * 32 + "]" * 32,
    "[" * 33 + "]" * 33,
]


def expected(text: str) -> str | None:
    try:
        return canonicalise(text.encode())[1].decode()
    except ProtocolError:
        return None


def some_number(random: Random) -> float:
    number = struct.unpack("<d", random.randbytes(8))[0]
    return number if math.isfinite(number) else 0.5


def some_text(random: Random) -> str:
    places = [random.choice((0x20, 0x7F, 0xFF, 0x7FF, 0xD7FF, 0xFFFF, 0x10FFFF)) for _ in range(random.randrange(8))]
    characters = [random.randrange(place + 1) for place in places]
    return "".join(chr(each) for each in characters if not 0xD800 <= each < 0xE000)


def some_value(random: Random, depth: int = 0) -> Any:
    kind = random.randrange(8 if depth < 4 else 5)
    if kind < 5:
        return (some_number(random), random.randint(-(2**53), 2**53), some_text(random), None, True)[kind]
    items = [some_value(random, depth + 1) for _ in range(random.randrange(5))]
    return items if kind == 5 else {some_text(random): item for item in items}


async def test_the_browser_spells_edges_as_the_node_does(modules: Page) -> None:
    spelled = await modules.evaluate(SPELL, EDGES)

    assert dict(zip(EDGES, spelled, strict=True)) == {text: expected(text) for text in EDGES}


async def test_the_browser_spells_ten_thousand_numbers_as_the_node_does(modules: Page) -> None:
    random = Random(0)
    numbers = [some_number(random) for _ in range(5_000)]
    texts = [
        json.dumps(number)
        for number in (*numbers, *(random.uniform(-1, 1) * 10 ** random.randint(-9, 25) for _ in range(5_000)))
    ]

    spelled = await modules.evaluate(SPELL, texts)

    assert [(text, it) for text, it in zip(texts, spelled, strict=True) if it != expected(text)] == []


async def test_the_browser_spells_any_value_as_the_node_does(modules: Page) -> None:
    random = Random(1)
    texts = [json.dumps(some_value(random), ensure_ascii=random.random() < 0.5) for _ in range(2_000)]

    spelled = await modules.evaluate(SPELL, texts)

    assert [(text, it) for text, it in zip(texts, spelled, strict=True) if it != expected(text)] == []
    assert None in spelled
    assert len(set(spelled)) > 1_000

"""Text of a record is never markup, in any field and in any view."""

import json
from typing import Any

import pytest
from playwright.async_api import expect

from node.node import Node
from protocol.records.record import Record
from tests.explorer.browsing import Explorer, hold, recent
from tests.history import BOB

pytestmark = pytest.mark.asyncio(loop_scope="session")

ATTACKS = (
    "<img src=x onerror=\"document.title='taken'\">",
    "<script>document.title='taken'</script>",
    '"><svg onload="document.title=\'taken\'">',
    "javascript:document.title='taken'",
    "{{constructor.constructor('document.title=1')()}}",
    "</title></style></textarea><h1>taken</h1>",
    "&lt;b&gt;&#60;b&#62;",
)
OF_JAVASCRIPT = ("__proto__", "constructor", "toString", "hasOwnProperty")
"""Names that objects of JavaScript have by themselves."""

REVERSED = "gnp.\u202egpj.exe"


def hostile(label: str, ago: int = 0) -> Record:
    """A record with attacks in every field that takes free text. The others take hex, numbers and domains only."""
    fields: dict[str, Any] = {name: name for name in (*ATTACKS, *OF_JAVASCRIPT)}
    return recent(label, ago=ago, nested={label: [label, {label: label}]}, **fields)


async def is_untouched(explorer: Explorer) -> bool:
    """Whether the page has no element, listener or address that came from a record."""
    return bool(
        await explorer.page.evaluate(
            """() => document.title !== "taken" && [...document.querySelectorAll("main *")].every(each =>
                !["SCRIPT", "IMG", "IFRAME", "OBJECT", "STYLE"].includes(each.tagName) &&
                [...each.attributes].every(({ name, value }) =>
                    !name.startsWith("on") && !(name === "href" && /^\\s*javascript:/i.test(value))))"""
        )
    )


@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_attack_in_every_field_stays_text_in_every_part(explorer: Explorer, node: Node, attack: str) -> None:
    page = explorer.page
    await explorer.go("live")
    await expect(page.get_by_text("Listening")).to_be_visible()
    await hold(node, hostile(attack, ago=9))
    await hold(node, recent(attack, BOB, ago=20, why=attack))
    await expect(page.locator(".event .label-link")).to_have_text([attack, attack])
    assert await is_untouched(explorer)

    await explorer.go("browse", "example", query="?prefix=" + attack[:3].replace("&", "%26").replace("#", "%23"))
    await expect(page.locator("td .label-link")).to_have_text([attack])
    assert await is_untouched(explorer)

    await page.locator("td .label-link").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(attack)
    await expect(page.locator(".mark.good")).to_have_count(2)
    for fold in await page.locator("summary").all():
        await fold.click()
    for each in (*ATTACKS, *OF_JAVASCRIPT):
        await expect(page.locator(".tree dd").get_by_text(each, exact=True).first).to_be_visible()
    assert await is_untouched(explorer)

    await page.get_by_role("link", name="Update").click()
    await explorer.load_key(BOB)
    await expect(explorer.field("Label")).to_have_value(attack)
    await expect(page.locator(".preview .bytes")).to_contain_text(json.dumps(attack, ensure_ascii=False)[1:-1])
    assert await is_untouched(explorer)
    assert page.url.startswith(node.url)


SPELLED = {
    REVERSED: "gnp.U+202Egpj.exe",
    "zero\u200bwidth": "zeroU+200Bwidth",
    "line\u2028end": "lineU+2028end",
    "private \ue000": "private U+E000",
    "gar\u200dden": "garU+200Dden",
    "filler\u3164": "fillerU+3164",
    "graph\u034feme": "graphU+034Feme",
    "variant\ufe0f": "variantU+FE0F",
    "wide\u00a0space": "wideU+00A0space",
    "garden ": "gardenU+0020",
    "cafe\u0301": "cafeU+0301",
    "\u212aelvin": "U+212Aelvin",
    "p\u0430ypal": "pU+0430ypal",
}
SHOWN = (
    "family 👨\u200d👩\u200d👧",
    "heart ❤\ufe0f 1\ufe0f\u20e3",
    "مرحبا",
    "می\u200cخواهم",  # noqa: RUF001 - Persian
    "क्\u200dष",
    "café",
    "привет",
    "two  spaces",
)


async def test_characters_that_turn_hide_or_deceive_are_spelled_out(explorer: Explorer, node: Node) -> None:
    labels = [*SPELLED, *SHOWN]
    await hold(node, *(recent(label, note=label) for label in labels))
    await explorer.go("browse", "example")

    links = explorer.page.locator("td .label-link")
    await expect(links).to_have_count(len(labels))
    assert set(await links.all_inner_texts()) == {*SPELLED.values(), *SHOWN}
    assert await links.locator("bdi").count() == len(labels)
    await explorer.go("label", "example", REVERSED)
    await expect(explorer.page.get_by_role("heading", level=1)).to_have_text("gnp.U+202Egpj.exe")
    assert await explorer.page.title() == "gnp.U+202Egpj.exe in example · dnarc"


async def test_the_longest_names_and_claims_break_no_page(explorer: Explorer, node: Node) -> None:
    label, domain = "W" * 255, ".".join(["x" * 60] * 4)
    deep: object = "end"
    for _ in range(28):
        deep = {"nest": deep}
    await hold(node, recent(label, domain=domain, text="y" * 30_000, deep=deep, many=list(range(2_000))))

    await explorer.page.set_viewport_size({"width": 360, "height": 780})
    for place in (("browse",), ("browse", domain), ("label", domain, label), ("overview",), ("live",)):
        await explorer.go(*place)
        width = await explorer.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, place


async def test_the_browser_refuses_to_make_markup_of_text(explorer: Explorer) -> None:
    """The policy backs the code up: if the code had a bug, the browser itself would refuse."""
    refused = await explorer.page.evaluate(
        """() => ["innerHTML", "outerHTML"].map(name => {
            try { document.querySelector("main h1")[name] = "<b>text</b>"; return false; } catch { return true; }
        })"""
    )

    assert refused == [True, True]
    explorer.said.clear()

"""Takes the README's pictures of the explorer, from real nodes that are linked and at work.

    make screenshots

As root on Debian it installs the typefaces that the page prefers. Otherwise the pictures show the system's typefaces.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

import msgspec
from PIL import Image
from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from node.node import Node
from node.settings.settings import Settings
from node.store.contract import Peer
from protocol.records.record import SignedRecord, make, sign
from protocol.signing import SigningKey
from tests.explorer.conftest import CHROMIUM, FLAGS, SKIPPED
from tests.node.http_api.talking import Client, as_admin, batch
from tests.node.links.network import until
from tests.node.witness.test_four import DOMAIN as COUNCIL
from tests.node.witness.test_four import council, is_final
from tests.node.witness.test_four import signed as in_council
from tests.paths import ROOT

FOLDER: Final = ROOT / "docs" / "images"
FONTS: Final = ("fonts-inter", "fonts-jetbrains-mono", "fonts-noto-core")
DAY_S: Final = 86_400
TRAFFIC_S: Final = 24.0
"""How long the nodes work before the first picture, so that the curve has some length."""

KEYS: Final = {name: SigningKey(name.encode().ljust(32, b".")) for name in ("ada", "grace", "mallory")}
DOMAIN: Final = "harbour.example"


def written(by: str, label: str, at: int, prev: SignedRecord | None = None, **content: Any) -> SignedRecord:
    """A record of this person."""
    fields = {"domain": DOMAIN, "label": label, "signedby": KEYS[by].public, "timestamp": at, **content}
    return sign(make(fields if prev is None else fields | {"prev": prev.record.id}), KEYS[by])


def lighthouse(now: int) -> list[SignedRecord]:
    """A label that is founded, contested, forked and handed over."""
    founded = written("ada", "lighthouse", now - 9 * DAY_S, keeper="Ada", lamps=3)
    rival = written("mallory", "lighthouse", now - 9 * DAY_S + 40, keeper="Mallory")
    updated = written("ada", "lighthouse", now - 5 * DAY_S, founded, keeper="Ada", lamps=4, depth_m=7.5)
    fork = written("ada", "lighthouse", now - 5 * DAY_S + 60, founded, keeper="Ada", lamps=9)
    to = KEYS["grace"].public
    offered = written("ada", "lighthouse", now - DAY_S, updated, keeper="Ada", lamps=4, depth_m=7.5, newowner=to)
    taken = written("grace", "lighthouse", now - DAY_S // 2, offered, keeper="Grace", lamps=4, depth_m=7.5)
    head = written("grace", "lighthouse", now - 900, taken, keeper="Grace", lamps=5, depth_m=7.5, inspected=True)
    return [founded, rival, updated, fork, offered, taken, head]


async def put(node: Node, records: Sequence[SignedRecord]) -> None:
    async with Client(node.url) as client:
        answer = await client.send("PUT", "/claims", batch(records), as_admin(node))
    assert {each["status"] for each in answer.json().values()} <= {"accepted", "known"}


def settings(data: Path) -> Settings:
    """Settings of a node that compares often with its peers, because the pictures take only a minute."""
    return Settings(port=0, data=data, repair_interval=5.0)


@asynccontextmanager
async def linked_nodes(folder: Path) -> AsyncIterator[list[Node]]:
    """Five nodes. The first is linked with all others."""
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(Node(settings(folder / str(n)))) for n in range(5)]
        first, *others = nodes
        for node in others[:3]:
            await first.peers.put(Peer(url=node.url.replace("http", "ws"), push=True, pull=True))
            await node.peers.put(Peer(key=first.key.public, accept=True))
        await others[3].peers.put(Peer(url=first.url.replace("http", "ws"), push=True, pull=True))
        await first.peers.put(Peer(key=others[3].key.public, accept=True))
        for node, next_one in zip(others, [*others[1:], others[0]], strict=True):
            await node.peers.put(Peer(url=next_one.url.replace("http", "ws"), pull=True))
        yield nodes


async def work(nodes: Sequence[Node], over: asyncio.Event) -> None:
    """Make claims on the nodes in turn, 1 to 9 of them three times a second, until `over` is set."""
    crops = ("barley", "beans", "flax", "hops", "oats", "rye")
    for number in count():
        by = ("ada", "grace")[number % 2]
        size = 1 + (number // 3 * 7) % 9
        records = [
            written(by, f"berth-{number:04}-{each}", int(time.time()), crop=crops[(number + each) % 6], bags=each)
            for each in range(size)
        ]
        await put(nodes[number % len(nodes)], records)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await over.wait()
                return


def names_of_labels(now: int) -> list[SignedRecord]:
    labels = (
        "anchor",
        "beacon",
        "boathouse",
        "buoy",
        "crane",
        "customs house",
        "dock",
        "ferry",
        "gate",
        "jetty",
        "pier",
    )
    people = ("ada", "grace", "mallory")
    return [
        written(people[number % 3], label, now - number * 4_000 - 60, berths=number * 3, open=number % 4 != 0)
        for number, label in enumerate(labels)
    ]


@asynccontextmanager
async def witnessed_garden(folder: Path) -> AsyncIterator[Node]:
    """Four linked witnesses. Two people found the garden at once on two nodes, then its owner updates it on two devices
    at once.
    """
    async with council(folder, awake=4) as nodes:
        rivals = [_in_garden("ada", gate="green"), _in_garden("mallory", gate="red")]
        await _race(nodes[0], list(zip(nodes, rivals, strict=False)))
        founded = next(each for each in rivals if is_final(nodes[0], each.record))
        winner = "ada" if founded is rivals[0] else "mallory"
        devices = [_in_garden(winner, founded, gate=colour) for colour in ("blue", "white")]
        await _race(nodes[0], list(zip(nodes[2:], devices, strict=True)))
        yield nodes[0]


def _in_garden(by: str, prev: SignedRecord | None = None, **content: Any) -> SignedRecord:
    more = content if prev is None else content | {"prev": prev.record.id}
    return in_council(KEYS[by], "garden", **more)


async def _race(node: Node, claims: Sequence[tuple[Node, SignedRecord]]) -> None:
    """Put each claim on its node, all at once, and wait until this node holds one of them final."""
    await asyncio.gather(*(put(each, [claim]) for each, claim in claims))
    await until(lambda: any(is_final(node, claim.record) for _, claim in claims), node)


class Shot(msgspec.Struct, frozen=True):
    """One picture: its file, the place in the explorer, theme and size. `part` limits it to one element."""

    name: str
    place: str
    theme: Literal["light", "dark"] = "light"
    width: int = 1_180
    height: int = 820
    part: str | None = None
    rest_ms: int = 600


BUSY: Final = (
    Shot("overview", "", rest_ms=int(TRAFFIC_S * 1000)),
    Shot("network", "network", "dark", height=800, rest_ms=5_300),
    Shot("live", "live", height=700, rest_ms=5_000),
)
"""Pictures taken while the nodes work."""

QUIET: Final = (
    Shot("timeline", f"label/{DOMAIN}/lighthouse", width=1_000, part=".view-label section:last-child"),
    Shot("write", f"write?domain={DOMAIN}&label=slipway", width=1_000, height=940),
)

WITNESSED: Final = Shot(
    "witnesses", f"label/{COUNCIL}/garden", width=1_000, height=1_500, part=".view-label section:last-child"
)


async def shoot(browser: Browser, url: str, shot: Shot) -> None:
    """Take one picture when the page has come to rest."""
    size = ViewportSize(width=shot.width, height=shot.height)
    context = await browser.new_context(viewport=size, color_scheme=shot.theme, device_scale_factor=2)
    page = await context.new_page()
    await page.goto(f"{url}/#/{shot.place}")
    await page.locator("main h1").wait_for()
    await prepare(page, shot.place)
    await page.mouse.move(0, 0)
    await page.wait_for_timeout(shot.rest_ms)
    path = FOLDER / f"{shot.name}.png"
    if shot.part is None:
        await page.screenshot(path=path)
    else:
        await page.locator(shot.part).screenshot(path=path)
    Image.open(path).quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    await context.close()


async def prepare(page: Page, place: str) -> None:
    if place.startswith("write"):
        await page.get_by_role("button", name="Make a new key").click()
        async with page.expect_download():
            await page.get_by_role("button", name="Save the key file").click()
        await page.get_by_role("button", name="I have saved it").click()
        await page.get_by_label("Name of a field").fill("gate")
        await page.get_by_label("Value of the field").fill("green")
        await page.get_by_label("The bytes that will be signed").wait_for()
        await page.evaluate("scrollTo(0, 0)")
    if place.startswith("label"):
        await page.locator(".trust .good").wait_for()


async def take_all() -> None:
    now = int(time.time())
    FOLDER.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="dnarc-screenshots-")))
        nodes = await stack.enter_async_context(linked_nodes(folder))
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        stack.push_async_callback(browser.close)
        await put(nodes[0], [*lighthouse(now), *names_of_labels(now)])
        over = asyncio.Event()
        traffic = asyncio.create_task(work(nodes, over))
        url = nodes[0].url
        for shot in BUSY:
            if shot.name == "network":
                await nodes[0].peers.put(Peer(url="ws://127.0.0.1:9", pull=True))  # where nobody answers
            await shoot(browser, url, shot)
        over.set()
        await traffic
        for shot in QUIET:
            await shoot(browser, url, shot)
        (folder / "council").mkdir()
        async with witnessed_garden(folder / "council") as node:
            await shoot(browser, node.url, WITNESSED)


def bring_fonts() -> None:
    """Install the typefaces, as root on Debian only."""
    if os.geteuid() == 0 and shutil.which("apt-get"):
        command = ["apt-get", "install", "--yes", "--no-install-recommends", *FONTS]
        subprocess.run(command, check=False, timeout=240, capture_output=True, stdin=subprocess.DEVNULL)


def main() -> int:
    if CHROMIUM is None:
        sys.stderr.write(f"{SKIPPED}\n")
        return 1
    bring_fonts()
    asyncio.run(take_all())
    for path in sorted(FOLDER.glob("*.png")):
        sys.stdout.write(f"{path.relative_to(FOLDER.parents[1])}: {path.stat().st_size // 1024} KiB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""An examination: which checks can be made, from what there is: a node that answers, a data folder, or both."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from node.checkup import exposure, folder, machine, neighbours, running
from node.checkup.finding import Finding, fail, ok, warn
from node.checkup.neighbours import Answer
from node.client.figures import Figures
from node.client.http import NodeClient, Unreachable
from node.settings import Settings
from node.store.contract import Peer, StoreError
from node.store.sqlite import inspection
from protocol.signing import SEED_BYTES, SigningKey

_HIDDEN = ":***@"


class Running(msgspec.Struct, frozen=True):
    """What a node says of itself. `rows` is the answer of `GET /peers`, and `peers` are the rows of its table."""

    health: dict[str, Any]
    figures: Figures
    rows: list[dict[str, Any]]
    peers: list[Peer]
    answer: Answer


def examine(url: str, data: Path | None, settings: Settings) -> Iterator[Finding]:
    """All findings, one after another. `settings` are those that a node would start with here.

    Raises:
        Unreachable: no node answers at the URL, and there is no folder to look at.
        ValueError: that is no URL of a node.
    """
    yield machine.check_signatures()
    try:
        node = ask(url, settings.tls_ca)
    except Unreachable:
        if data is None:
            raise
        yield _silence(url, data)
        yield from _examine_folder(data, settings)
        return
    yield from _examine_node(node, settings.tls_ca)
    if data is not None:
        yield _belonging(url, data, node)
        yield from _of_folder(data, node.figures.by("name", "dnarc_setting"))


def ask(url: str, authority: Path | None) -> Running:
    """Raises: Unreachable, NodeError, SettingsError; ValueError: that is no URL of a node."""
    with NodeClient(url, authority=authority) as client:
        health: dict[str, Any] = msgspec.json.decode(client.ask("GET", "/health").body)
        try:
            figures = Figures.read(client.ask("GET", "/metrics").body.decode())
        except ValueError as error:
            raise Unreachable(f"{url} does not answer as a node does") from error
        rows = client.get("/peers")
    return Running(health, figures, rows, [_peer(row) for row in rows], neighbours.ask(url, authority))


def _peer(row: dict[str, Any]) -> Peer:
    return Peer(url=row["url"], push=row["push"], pull=row["pull"], accept=row["accept"], key=row["key"])


def _examine_node(node: Running, authority: Path | None) -> Iterator[Finding]:
    numbers = node.figures.by("name", "dnarc_setting")
    is_public = bool(node.figures.value("dnarc_listens_publicly"))
    yield from running.check_health(node.health)
    yield from running.check_figures(node.figures)
    yield from exposure.check_settings(numbers, is_public=is_public)
    yield neighbours.check_clock(node.answer, numbers.get("max_skew", 0))
    yield from running.check_states(node.rows)
    yield from _of_peers(node.answer, node.peers, numbers, authority)


def _examine_folder(data: Path, settings: Settings) -> Iterator[Finding]:
    """A folder that no node runs on, as far as one can see."""
    numbers = exposure.numbers_of(settings)
    yield from exposure.check_settings(numbers, is_public=settings.is_public)
    yield from exposure.check_certificate(settings, time.time())
    yield from _of_folder(data, numbers)
    try:
        peers = inspection.inspect(data / "dnarc.db").peers
        ours = Answer(_key_of(data), inspection.summaries(data / "dnarc.db"), 0.0)
    except (StoreError, OSError, ValueError):
        return  # said of the folder already
    yield from _of_peers(ours, peers, numbers, settings.tls_ca)


def _of_folder(data: Path, numbers: Mapping[str, float]) -> Iterator[Finding]:
    yield machine.check_file_system(data)
    yield from folder.check_folder(data, numbers, time.time())


def _of_peers(
    ours: Answer, peers: Sequence[Peer], numbers: Mapping[str, float], authority: Path | None
) -> Iterator[Finding]:
    urls = [peer.url for peer in peers if peer.url is not None]
    hidden = {
        url: Answer(error="its password is not known here: name the data folder") for url in urls if _HIDDEN in url
    }
    answers = neighbours.ask_all([url for url in urls if url not in hidden], authority) | hidden
    yield from neighbours.check_peers(ours, peers, answers, numbers.get("max_skew", 0))
    yield from neighbours.check_copies(peers, answers)
    if not peers:
        yield warn("peers", "there are none: nothing is copied anywhere", "`dnarc peers add` lists one")


def _silence(url: str, data: Path) -> Finding:
    if folder.is_held(data):
        return fail(
            "node",
            f"a node runs on {data} and none answers at {url}",
            "name its URL by --node; if it is that, see its log",
        )
    return ok("node", f"none runs on {data}")


def _belonging(url: str, data: Path, node: Running) -> Finding:
    """Whether node and folder belong together: a person with two nodes mixes them up."""
    try:
        key = _key_of(data)
    except (OSError, ValueError) as error:
        return fail("node.key", f"the key in {data} cannot be read: {error}", "restore it from a backup")
    if key != node.answer.key:
        return warn("node", f"the node at {url} is not the one of {data}", "name its own URL by --node")
    return ok("node", f"the one of {data} answers at {url}")


def _key_of(data: Path) -> str:
    """The public key in the folder. Raises: OSError, ValueError: it cannot be read."""
    seed = bytes.fromhex((data / "node.key").read_text(encoding="ascii").strip())
    if len(seed) != SEED_BYTES:
        raise ValueError("it is not as long as a key")
    return SigningKey(seed).public

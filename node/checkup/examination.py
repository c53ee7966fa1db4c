"""An examination: decides which checks can be made, because there is a node that answers, a data folder, or both."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from node.checkup import exposure, folder, machine, neighbours, running, witness, write_policy
from node.checkup.finding import Finding, Level, fail, ok, warn
from node.checkup.neighbours import NeighbourAnswer
from node.client.answers import Answer
from node.client.errors import NodeError, Unreachable
from node.client.figures import Figures
from node.client.http import NodeClient
from node.disk import NODE_KEY, CannotStartError, postgres_store
from node.faults import of_lock
from node.settings.settings import Settings
from node.store.contract import Peer, StoreError
from node.store.inspection import Inspection
from node.store.sqlite import inspection
from protocol.signing import SEED_BYTES, SigningKey

_HIDDEN = ":***@"


class Running(msgspec.Struct, frozen=True):
    """What a node says of itself. `rows` is the answer of `GET /peers`, and `peers` are the rows of its table."""

    health: dict[str, Any]
    figures: Figures
    rows: list[dict[str, Any]]
    peers: list[Peer]
    answer: NeighbourAnswer


def examine(url: str, data: Path | None, settings: Settings, token: str | None = None) -> Iterator[Finding]:
    """All findings, one after another. `settings` are those with which a node would start here.

    `token` is the admin token, which a node on another machine asks for.

    Raises:
        Unreachable, NodeError: no node answers at the URL, and there is no folder to look at.
        ValueError: this is no URL of a node.
    """
    yield machine.check_signatures()
    try:
        node = ask(url, settings.tls_ca, token)
    except (Unreachable, NodeError) as error:
        if data is None:
            raise
        yield _silence(error, data)
        yield from _examine_folder(data, settings)
        return
    yield from _examine_node(node, settings.tls_ca)
    if data is not None:
        belonging = _belonging(url, data, node)
        yield belonging
        yield from _of_folder(data, node.figures.by("name", "dnarc_setting"), settings.store)
        if belonging.level is Level.OK:  # what another node witnesses needs no file here
            yield from _of_witness(data, witness.witnessed_by(node.figures))


def ask(url: str, authority: Path | None, token: str | None = None) -> Running:
    """Raises: Unreachable, NodeError, SettingsError; ValueError: this is no URL of a node."""
    with NodeClient(url, token, authority=authority) as client:
        client.get_node()  # first, because its errors tell what answers in the place of a node
        health = _read_health(client.ask("GET", "/health"), client.url)
        metrics = client.ask("GET", "/metrics")
        metrics.check()
        try:
            figures = Figures.read(metrics.body.decode())
        except ValueError as error:
            raise Unreachable(f"{client.url} does not answer as a node does") from error
        rows = client.get("/peers")
    return Running(health, figures, rows, [_peer(row) for row in rows], neighbours.ask(url, authority))


def _read_health(answer: Answer, url: str) -> dict[str, Any]:
    """What the node says of its health. A node that is not well answers with status 503."""
    try:
        health = msgspec.json.decode(answer.body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        answer.check()
        raise Unreachable(f"{url} does not answer as a node does") from error
    if "problems" not in health:
        answer.check()
    return health


def _peer(row: dict[str, Any]) -> Peer:
    return Peer(url=row["url"], push=row["push"], pull=row["pull"], accept=row["accept"], key=row["key"])


def _examine_node(node: Running, authority: Path | None) -> Iterator[Finding]:
    numbers = node.figures.by("name", "dnarc_setting")
    is_public = bool(node.figures.value("dnarc_listens_publicly"))
    yield from running.check_health(node.health)
    yield from running.check_figures(node.figures)
    yield from witness.check_figures(node.figures)
    yield from write_policy.check_figures(node.figures)
    yield from exposure.check_settings(numbers, is_public=is_public)
    yield neighbours.check_clock(node.answer, numbers.get("max_skew", 0))
    yield from running.check_states(node.rows)
    yield from _of_peers(node.answer, node.peers, numbers, authority)


def _examine_folder(data: Path, settings: Settings) -> Iterator[Finding]:
    """Findings about a folder while no node answers."""
    numbers = exposure.numbers_of(settings)
    yield from exposure.check_settings(numbers, is_public=settings.is_public)
    yield from exposure.check_certificate(settings, time.time())
    yield from write_policy.check_program(settings)
    yield from _of_folder(data, numbers, settings.store)
    yield from _of_witness(data, settings.witness or ())
    try:
        inspected, summaries = _read_store(data, settings.store)
        if inspected.version != inspected.version_known:
            return  # a finding about the folder says so already
        ours = NeighbourAnswer(_key_of(data), summaries())
    except (StoreError, CannotStartError, OSError, ValueError):
        return  # a finding about the folder says so already
    yield from _of_peers(ours, inspected.peers, numbers, settings.tls_ca)


def _read_store(data: Path, url: str | None) -> tuple[Inspection, Callable[[], dict[str, tuple[int, str]]]]:
    """What the store says of itself, and a function that reads the count and the fingerprint of each domain."""
    if url is None:
        path = data / "dnarc.db"
        return inspection.inspect(path), lambda: inspection.summaries(path)
    postgres_store()
    from node.store.postgresql import inspection as of_database

    return of_database.inspect(url), lambda: of_database.summaries(url)


def _of_folder(data: Path, numbers: Mapping[str, float], url: str | None) -> Iterator[Finding]:
    yield machine.check_file_system(data)
    yield from folder.check_folder(data, numbers, time.time(), url)


def _of_witness(data: Path, domains: Iterable[str]) -> Iterator[Finding]:
    """`domains`: those that the node of this folder witnesses."""
    try:
        key = _key_of(data)
    except (OSError, ValueError):
        return  # a finding about the folder says so already
    yield from witness.check_files(data, domains, key)


def _of_peers(
    ours: NeighbourAnswer, peers: Sequence[Peer], numbers: Mapping[str, float], authority: Path | None
) -> Iterator[Finding]:
    urls = [peer.url for peer in peers if peer.url is not None]
    hidden = {
        url: NeighbourAnswer(
            error="its URL has a password, which the node does not show", remedy="name the folder by --data DIR"
        )
        for url in urls
        if _HIDDEN in url
    }
    answers = neighbours.ask_all([url for url in urls if url not in hidden], authority) | hidden
    yield from neighbours.check_peers(ours, peers, answers, numbers.get("max_skew", 0))
    yield from neighbours.check_copies(peers, answers)
    if not peers:
        yield warn("peers", "this node has no peers, so no other node has its records", "`dnarc peers add` adds one")


def _silence(error: Unreachable | NodeError, data: Path) -> Finding:
    """Whether a node runs on the folder although none answers. `error` says why none answers."""
    try:
        is_held = folder.is_held(data)
    except OSError as lock_error:
        fault = of_lock(lock_error)
        return fail("node", f"whether a node runs on {data} is not known: {fault.reason}", fault.remedy)
    if is_held:
        detail = f"a node runs on {data}, but {error}"
        return fail("node", detail, "name its URL by --node; if that is its URL, see the log of the node")
    return ok("node", f"no node runs on {data}")


def _belonging(url: str, data: Path, node: Running) -> Finding:
    """Whether the node runs on the folder, because a person with two nodes mixes them up."""
    try:
        key = _key_of(data)
    except (OSError, ValueError):
        return warn("node", f"whether the node at {url} runs on {data} is not known", f"see {NODE_KEY} above or below")
    if key != node.answer.key:
        return warn("node", f"the node at {url} does not run on {data}", "name its own URL by --node")
    return ok("node", f"the node at {url} runs on {data}")


def _key_of(data: Path) -> str:
    """The public key of the folder. Raises: OSError, ValueError: it cannot be read."""
    seed = bytes.fromhex((data / NODE_KEY).read_text(encoding="ascii").strip())
    if len(seed) != SEED_BYTES:
        raise ValueError(f"a key has {SEED_BYTES} bytes")
    return SigningKey(seed).public
